"""Self-signed certificates for tests of TLS."""

import shutil
import subprocess
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl program makes the certificates")


def self_signed(folder: Path, name: str) -> Path:
    """Make a certificate for a name such as `IP:127.0.0.1`; its key is in the same file."""
    path = folder / "certificate.pem"
    wanted = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test"]
    files = ["-keyout", f"{path}.key", "-out", str(path)]
    command = [str(OPENSSL), "req", "-x509", *wanted, "-addext", f"subjectAltName={name}", *files]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.key").read_text())
    return path

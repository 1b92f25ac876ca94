"""`make audit`: whether a vulnerability is known in what the server is installed from. pip-audit asks OSV.

Exits with 0 where none is known, 1 where one is, 2 where pip-audit itself fails. Where OSV cannot be asked, as behind
many a firewall, it says that nothing was audited, and exits with 0: that must not stop whoever has no way out.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OSV_URL = os.environ.get("OSV_URL") or "https://api.osv.dev/v1/query"
TIMEOUT_S = 15
NONE, FOUND, FAILED = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Audit these requirements files; what begins with a dash is pip-audit's. Returns the exit code."""
    if unreachable := why_unreachable():
        print(f"NOT AUDITED: {OSV_URL} cannot be asked ({unreachable}).")
        return NONE
    audit = [Path(sys.executable).with_name("pip-audit"), "--require-hashes", "--disable-pip", "--format", "json"]
    audit += ["--progress-spinner", "off", "--vulnerability-service", "osv", "--osv-url", OSV_URL]
    options = [argument if argument.startswith("-") else f"--requirement={argument}" for argument in arguments]
    done = subprocess.run([*audit, *options], stdout=subprocess.PIPE, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit failed with {done.returncode}; see above.")
        return FAILED
    return told(packages)


def why_unreachable() -> str | None:
    """Ask OSV about a package that is none; why that is impossible, or None if it is not."""
    question = json.dumps({"package": {"name": "glottis", "ecosystem": "PyPI"}, "version": "0"}).encode()
    try:
        with urllib.request.urlopen(OSV_URL, question, TIMEOUT_S) as answer:
            json.load(answer)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def told(packages: list[dict[str, Any]]) -> int:
    """Print what pip-audit found; the exit code for it."""
    found = [(package, each) for package in packages for each in package.get("vulns", [])]
    for package, each in found:
        fixed = ", ".join(each["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {each['id']}, mended in {fixed}. {each.get('description', '')}")
    for package in packages:
        if "skip_reason" in package:
            print(f"{package['name']}: not audited. {package['skip_reason']}")
    print(f"{len(packages)} packages, {len(found)} known vulnerabilities.")
    return FOUND if found else NONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make bench-peers`: install the gateways to compare with into bench/.peers, each at the version that is pinned here.

A peer that cannot be installed within LONGEST_S is left out, and said so; the table then calls it not installed.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / ".peers"
LITELLM = "1.100.5"
PORTKEY = "1.15.2"
PORTKEY_SERVER = "1.13.8"
"""Of @hono/node-server: with a newer one Portkey answers every request with 500 (its issue 1389)."""

LONGEST_S = 300

Commands = list[list[str]]


def litellm(folder: Path) -> Commands:
    """LiteLLM's proxy, in an environment of its own."""
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin" / "pip"), "install", "-q", f"litellm[proxy]=={LITELLM}"],
    ]


def portkey(folder: Path) -> Commands:
    """Portkey's gateway, where there is Node."""
    if not shutil.which("npm"):
        raise FileNotFoundError("there is no npm on this machine")
    package = {
        "dependencies": {"@portkey-ai/gateway": PORTKEY},
        "overrides": {"@hono/node-server": PORTKEY_SERVER},
    }
    (folder / "package.json").write_text(json.dumps(package))
    return [["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]]


def install(prepare: Callable[[Path], Commands]) -> str:
    """Install a peer from nothing; returns what became of it."""
    folder = FOLDER / prepare.__name__
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for command in prepare(folder):
            subprocess.run(command, check=True, timeout=LONGEST_S)
    except (subprocess.SubprocessError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return f"left out: {_why(error)}"
    return "installed"


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"not installed within {LONGEST_S} s"
    if isinstance(error, subprocess.CalledProcessError):
        return f"{Path(error.cmd[0]).name} failed with {error.returncode}"
    return str(error)


def main() -> None:
    for peer in (litellm, portkey):
        print(f"{peer.__name__}: {install(peer)}", flush=True)


if __name__ == "__main__":
    main()

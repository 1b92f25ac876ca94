"""`make bench-peers`: install the gateways to compare with into bench/.peers, each at the version that is pinned here.

A peer that cannot be installed within LONGEST_S is left out, and said so; the table then calls it not installed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / ".peers"
LITELLM = "1.100.5"
PORTKEY = "1.15.2"
LONGEST_S = 300


def litellm() -> list[list[str]]:
    """LiteLLM's proxy, in an environment of its own."""
    folder = FOLDER / "litellm"
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin" / "pip"), "install", "-q", f"litellm[proxy]=={LITELLM}"],
    ]


def portkey() -> list[list[str]]:
    """Portkey's gateway, where there is Node."""
    if not shutil.which("npm"):
        raise FileNotFoundError("there is no npm on this machine")
    package = f"@portkey-ai/gateway@{PORTKEY}"
    return [["npm", "install", "--no-audit", "--no-fund", "--prefix", str(FOLDER / "portkey"), package]]


def install(name: str, commands: list[list[str]]) -> str:
    """Run the commands of one peer; returns what became of it."""
    try:
        for command in commands:
            subprocess.run(command, check=True, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        return f"left out: not installed within {LONGEST_S} s"
    except subprocess.CalledProcessError as error:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        return f"left out: {Path(error.cmd[0]).name} failed with {error.returncode}"
    return "installed"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for peer in (litellm, portkey):
        try:
            print(f"{peer.__name__}: {install(peer.__name__, peer())}", flush=True)
        except FileNotFoundError as error:
            print(f"{peer.__name__}: left out: {error}", flush=True)


if __name__ == "__main__":
    main()

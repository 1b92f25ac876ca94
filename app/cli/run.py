"""`make run`: the server on this machine alone, for trying it, with a command to try it by."""

import os
import socket
import sys

from dotenv import dotenv_values

HOST = "127.0.0.1"

BANNER = """
Glottis on http://{host}:{port}. In another terminal:

  curl -N http://{host}:{port}/v1/chat/completions -H 'Content-Type: application/json' \\
{key}    -d '{{"model": "glottis", "stream": true, "messages": [{{"role": "user", "content": "Say hello."}}]}}'

Ctrl-C stops it.
"""


def main() -> None:
    """Become gunicorn, bound to loopback; nobody else can reach it, so callers need no key unless API_KEYS is set."""
    port = os.environ.setdefault("PORT", "8000")
    if _is_taken(int(port)):
        sys.exit(f"Port {port} is in use. Take another: PORT=8001 make run")
    os.environ.setdefault("ALLOW_ANONYMOUS", "true")
    sys.stdout.write(BANNER.format(host=HOST, port=port, key=_key_line()))
    sys.stdout.flush()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "wsgi:app"]
    os.execv(command[0], command)  # noqa: S606 (this is what it is for)


def _is_taken(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError:
            return True
    return False


def _key_line() -> str:
    """Return the line of the command that sends a caller's key, if callers need one."""
    keys = os.environ.get("API_KEYS") or dotenv_values(os.environ.get("GLOTTIS_DOTENV", ".env")).get("API_KEYS")
    return "    -H 'Authorization: Bearer ONE-OF-YOUR-API_KEYS' \\\n" if keys else ""


if __name__ == "__main__":
    main()

"""`make run`: the server on this machine alone, for trying it, with a command to try it by."""

import os
import sys

HOST = "127.0.0.1"

BANNER = """
Glottis on http://{host}:{port}. In another terminal:

  curl -N http://{host}:{port}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "glottis", "stream": true, "messages": [{{"role": "user", "content": "Say hello."}}]}}'

Ctrl-C stops it.
"""


def main() -> None:
    """Become gunicorn, bound to loopback; nobody else can reach it, so callers need no key unless API_KEYS is set."""
    port = os.environ.setdefault("PORT", "8000")
    os.environ.setdefault("ALLOW_ANONYMOUS", "true")
    sys.stdout.write(BANNER.format(host=HOST, port=port))
    sys.stdout.flush()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"{HOST}:{port}", "wsgi:app"]
    os.execv(command[0], command)  # noqa: S606 (this is what it is for)


if __name__ == "__main__":
    main()

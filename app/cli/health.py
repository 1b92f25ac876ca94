"""`python -m app.cli.health`: whether the server in this container answers. For images that have no curl.

Asks GET /health of the server on this machine, at PORT. Exits with 0 if it answers 200, else with 1. What takes longer
than the time that is given below counts as no answer.
"""

import http.client
import os
import sys

TIMEOUT_S = 3.0


def main() -> int:
    """Return the exit status: 0 where the server is up, else 1."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer: {error}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())

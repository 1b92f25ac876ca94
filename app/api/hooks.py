"""What happens to every request: its path is tidied, and it gets an id and a clock.

As WSGI middleware, where the environ and the answer's headers are at hand: as Flask's hooks it takes 25 calls more.
"""

import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_SLASHES = re.compile(r"/{2,}")


class Reception:
    """WSGI middleware, the first to see a request and the last to see its answer's head."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve the request under its tidy path, and tell its id and how long it took."""
        began_at = environ["glottis.started_at"] = time.monotonic()
        path = environ.get("PATH_INFO", "")
        # A base URL pasted with a trailing slash makes `//chat/completions`, which means the same.
        if "//" in path or path[-1:] == "/":
            environ["PATH_INFO"] = _SLASHES.sub("/", path).rstrip("/") or "/"
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if given and REQUEST_ID.fullmatch(given) else f"req_{os.urandom(16).hex()}"
        environ["glottis.request_id"] = request_id

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            # Seconds until the headers leave, as in the seed; a stream goes on after them.
            elapsed = f"{time.monotonic() - began_at:.4f}"
            return start_response(status, [*headers, ("X-Request-Id", request_id), ("X-Process-Time", elapsed)], *rest)

        return self._app(environ, start)


def init_app(app: Flask) -> None:
    """Let every request pass; before the headers' middleware has its turn, and outside of Flask."""
    app.wsgi_app = Reception(app.wsgi_app)  # type: ignore[method-assign]

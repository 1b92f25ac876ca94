"""What happens to every request: its path is tidied, and it gets an id and a clock."""

import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, request

REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_SLASHES = re.compile(r"/{2,}")


class TidyPath:
    """WSGI middleware: a base URL pasted with a trailing slash makes `//chat/completions`, which means the same."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve the request under its tidy path."""
        path = environ.get("PATH_INFO", "")
        if "//" in path or path.endswith("/"):
            environ["PATH_INFO"] = _SLASHES.sub("/", path).rstrip("/") or "/"
        return self._app(environ, start_response)


def _begin() -> None:
    environ = request.environ
    environ["glottis.started_at"] = time.monotonic()
    given = environ.get("HTTP_X_REQUEST_ID", "")
    environ["glottis.request_id"] = given if REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"


def _finish(response: Response) -> Response:
    environ = request.environ
    elapsed_s = time.monotonic() - environ["glottis.started_at"]
    headers = response.headers
    headers.add("X-Request-Id", environ["glottis.request_id"])
    # Seconds until the headers leave, as in the seed; a stream goes on after them.
    headers.add("X-Process-Time", f"{elapsed_s:.4f}")
    return response


def init_app(app: Flask) -> None:
    """Register the hooks; first of all, so that every other one finds the request's id."""
    app.before_request(_begin)
    app.after_request(_finish)
    app.wsgi_app = TidyPath(app.wsgi_app)  # type: ignore[method-assign]

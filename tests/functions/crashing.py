"""Glottis with faults of its own, for the tests of what they show: `gunicorn crashing:app`."""

from flask import Response

from app.api.auth import public
from app.factory import create_app
from app.settings import Settings

SECRET = "secret-of-the-fault"

app = create_app(Settings.load())


@app.get("/crash")
@public
def crash() -> Response:
    """Fail in a view."""
    raise RuntimeError(SECRET)


@app.get("/crash/late")
@public
def crash_late() -> Response:
    """Fail where Flask catches nothing any more."""

    def start() -> object:
        raise RuntimeError(SECRET)

    response = Response("x")
    response.call_on_close(lambda: None)
    response.get_wsgi_response = lambda environ: start()  # type: ignore[method-assign,assignment]
    return response


@app.get("/crash/debug")
@public
def debug() -> dict[str, bool]:
    """Say whether the application thinks that it is being debugged."""
    return {"debug": app.debug}

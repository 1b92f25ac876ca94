"""A fault of Glottis' own, behind gunicorn and with FLASK_DEBUG set: nothing of the inside gets out."""

import sys
from collections.abc import Iterator

import pytest
from api.client import request
from gateway import Gateway, free_port

FUNCTIONS = "crashing:app"


@pytest.fixture(scope="module")
def crashing() -> Iterator[Gateway]:
    """Glottis with views that fail."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}", FUNCTIONS]
    with Gateway({"FLASK_DEBUG": "1", "FLASK_ENV": "development"}, command=command, port=port) as running:
        yield running


@pytest.mark.parametrize("path", ["/crash", "/crash/late"])
def test_the_caller_is_told_nothing(crashing: Gateway, path: str) -> None:
    """The answer is an error in OpenAI's words; the log has the class and the place, and not the message."""
    reply = request(crashing, "GET", path, None, {})
    assert reply.status == 500
    assert reply.json["error"]["code"] == "internal_error"
    for inside in (b"secret", b"RuntimeError", b"Traceback", b".py", b"werkzeug", b"debugger"):
        assert inside not in reply.body
    assert reply.headers["cache-control"] == "no-store"
    crashing.wait_for("RuntimeError at ")
    assert "secret-of-the-fault" not in crashing.output


def test_there_is_no_debugger(crashing: Gateway) -> None:
    """FLASK_DEBUG switches nothing on, and what werkzeug's debugger answers to is an unknown path."""
    assert request(crashing, "GET", "/crash/debug", None, {}).json == {"debug": False}
    for path in ("/console", "/debug", "/?__debugger__=yes&cmd=resource&f=style.css"):
        assert request(crashing, "GET", path, None, {}).status == 404

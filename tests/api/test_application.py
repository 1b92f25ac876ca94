"""What of Flask the application keeps although it leaves much of it out, and that nobody needs the rest."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, current_app, request
from gateway import clean_environment

from app.api.application import Application
from app.domain.errors import InvalidRequest
from app.factory import create_app
from app.settings import Settings


def answers_of(app: Flask, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
    """Ask for a path; returns the status, the body and the headers."""
    reply = app.test_client().open(path, method=method)
    return reply.status_code, reply.text, dict(reply.headers)


@pytest.fixture
def noted() -> list[str]:
    """Note what is called."""
    return []


@pytest.fixture
def app(noted: list[str]) -> Application:
    """Make an application with functions before and after a request, and an error handler."""
    app = Application("example", static_folder=None)

    def noting(name: str, answer: Any = None) -> Any:
        return lambda *given: noted.append(name) or answer or (given[0] if given else None)

    app.before_request(noting("before 1"))
    app.before_request(noting("before 2"))
    app.before_request(lambda: "stopped" if request.path == "/stopped" else None)
    app.after_request(noting("after 1"))
    app.after_request(noting("after 2"))

    def refused(error: Exception) -> Response:
        return Response(f"{type(error).__name__} on {current_app.name}", status=400)

    def streamed() -> Response:
        def body() -> Iterator[bytes]:
            noted.append("body")
            yield b"words"

        return Response(body())

    def failing() -> Response:
        raise InvalidRequest

    app.register_error_handler(InvalidRequest, refused)
    app.add_url_rule("/streamed", view_func=streamed)
    app.add_url_rule("/failing", view_func=failing)
    return app


def test_the_order_around_a_view(app: Application, noted: list[str]) -> None:
    """Before a request in order, after it backwards, and all of it before a stream's first piece."""
    assert answers_of(app, "/streamed")[:2] == (200, "words")
    assert noted == ["before 1", "before 2", "after 2", "after 1", "body"]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/failing", 400, "InvalidRequest on example"), ("/stopped", 200, "stopped"), ("/nowhere", 404, "Not Found")],
)
def test_the_order_without_a_view(app: Application, noted: list[str], path: str, status: int, body: str) -> None:
    """An error has its handler, and a function before a request may answer; those after it see both."""
    told, words, _ = answers_of(app, path)
    assert told == status
    assert body in words
    assert noted == ["before 1", "before 2", "after 2", "after 1"]


def test_methods(app: Application) -> None:
    """What a path takes is told, and its host and the query are no part of it."""
    assert "GET" in answers_of(app, "/streamed", "OPTIONS")[2]["Allow"]
    assert answers_of(app, "/streamed", "POST")[0] == 405
    assert answers_of(app, "http://any.example:1/streamed?a=b")[0] == 200


def test_paths_that_are_known(app: Application) -> None:
    """A path is the same when it is asked for again, with its variables; and only those without are kept."""
    app.add_url_rule("/named/<name>", view_func=lambda name: name)
    for _ in range(2):
        assert answers_of(app, "/named/one")[:2] == (200, "one")
        assert answers_of(app, "/named/two")[:2] == (200, "two")
        assert answers_of(app, "/streamed")[0] == 200
        assert [answers_of(app, path, "POST")[0] for path in ("/streamed", "/none")] == [405, 404]
    assert app._known_paths.keys() == {("GET", "/streamed")}


def test_contexts_end(app: Application) -> None:
    """Nothing of a request is left when it is over."""
    answers_of(app, "/streamed")
    assert not request
    assert not current_app


def test_nobody_needs_what_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that can be switched on, no blueprint has functions of its own, and nothing is torn down."""
    on = {"ALLOW_ANONYMOUS": "true", "CORS_ORIGINS": "*", "METRICS": "true", "LIMIT_REQUESTS_PER_MINUTE": "60"}
    monkeypatch.setattr(os, "environ", clean_environment() | on)
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings.load())
    assert isinstance(app, Application)
    assert app.before_request_funcs.keys() | app.after_request_funcs.keys() <= {None}
    assert not app.teardown_request_funcs
    assert not app.teardown_appcontext_funcs
    assert not app.url_value_preprocessors

"""The environ and the bytes of an answer: gunicorn's own classes are the judge of both."""

import contextlib
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from api.client import request
from gateway import Gateway
from gunicorn.config import Config
from gunicorn.http.body import Body
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import Response, create
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.api.head import HeadReader, UsualRequest
from app.api.wire import Answer, Environs

CFG = Config()
CFG.set("secure_scheme_headers", {})

NAMES = st.sampled_from(["Host", "Content-Type", "x-a", "X-A-B", "Cookie", "Connection", "Wsgi.Input", "Script-Name"])
TARGETS = st.sampled_from(["/", "/v1/models", "/a%20b%ff%zz?c=%20", "/?", "/a?b?c", "/a;b", "/%2f/../x"])


def usual(method: str = "GET", target: str = "/", headers: str = "Host: x\r\n") -> UsualRequest:
    """Return a request, read from its bytes."""
    wire = f"{method} {target} HTTP/1.1\r\n{headers}\r\n".encode()
    request = HeadReader(CFG)(CFG, IterUnreader([wire]), ("192.0.2.1", 5))
    assert isinstance(request, UsualRequest)
    return request


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "BREW"]),
    target=TARGETS,
    fields=st.lists(st.tuples(NAMES, st.sampled_from(["", "x", "a, b", "é"])), unique_by=lambda field: field[0]),
    server=st.sampled_from([("127.0.0.1", 8000), ("::1", 80, 0, 0)]),
)
def test_the_environ_is_gunicorns(method: str, target: str, fields: list[tuple[str, str]], server: Any) -> None:
    """Key for key, but for the early hints that nobody sends, and a log that is looked for when it is written to."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        request = usual(method, target, "".join(f"{name}:{value}\r\n" for name, value in fields))
        made = Environs(CFG).of(request, ours, ("192.0.2.1", 5), server)
        _, expected = create(request, ours, ("192.0.2.1", 5), server, CFG)
    del expected["wsgi.early_hints"], expected["wsgi.errors"], made["wsgi.errors"]
    assert made == {**expected, "wsgi.multithread": True}
    assert isinstance(made["wsgi.input"], Body)


def test_environs_have_nothing_in_common() -> None:
    """What one request leaves in its environ is not in the next."""
    environs = Environs(CFG)
    first = environs.of(usual(), None, ("192.0.2.1", 5), ("127.0.0.1", 80))
    first["glottis.caller"] = "somebody"
    assert "glottis.caller" not in environs.of(usual(), None, ("192.0.2.1", 5), ("127.0.0.1", 80))


def test_errors_are_written_where_gunicorn_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    """`wsgi.errors` is the standard error of the moment."""
    environ = Environs(CFG).of(usual(), None, ("192.0.2.1", 5), ("127.0.0.1", 80))
    print("something", file=environ["wsgi.errors"])
    assert "something" in capsys.readouterr().err


def told(kind: type[Response], request: Any, answer: Callable[[Any], object]) -> tuple[bytes, Any, Any]:
    """Return the bytes that an answer came to, without their time; whether the connection ends, and what was raised."""
    ours, theirs = socket.socketpair()
    failure: Any = None
    with theirs:
        with ours:
            response = kind(request, ours, CFG)
            try:
                answer(response)
            except Exception as error:
                failure = type(error), str(error)
            closes = response.should_close() if response.status else None
        wire = b"".join(iter(lambda: theirs.recv(65536), b""))
    return re.sub(rb"Date: [^\r]+ GMT", b"Date: now", wire), closes, failure


HEADERS = st.tuples(
    st.sampled_from(
        [
            *("Content-Type", "X-A", "x-a", "Content-Length", "content-length", "Connection", "Upgrade", "Date"),
            *("Server", "Transfer-Encoding", "Keep-Alive", "X A", "X\r\nX-Evil", "", "é", b"X-A", None),
        ]
    ),
    st.sampled_from(
        [
            *("text/plain", "", " a ", "5", "0", "-5", "+5", "5 ", "a", "²", "close", "upgrade", "websocket", "é"),
            *("a\r\nX-Evil: 1", "a\n", "a\x00", "\u2028", b"x", 5, None),
        ]
    ),
)
PLAIN = st.tuples(st.sampled_from(["Content-Type", "X-A"]), st.sampled_from(["a", "b", " c "]))
LENGTH = st.sampled_from(["0", "5", "10"]).map(lambda length: ("Content-Length", length))
STATUSES = st.sampled_from(
    ["200 OK", "404 NOT FOUND", "500", "204 NO CONTENT", "304 NOT MODIFIED", "101 X", "99 X", "2000 X", "200 \r\n", 200]
)
PIECES = st.lists(st.sampled_from([b"", b"hello", b"x" * 300, "text", bytearray(b"array")]), max_size=4)


@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
    request_headers=st.sampled_from(["Host: x\r\n", "Connection: close\r\n", "Connection: Keep-Alive\r\n"]),
    status=st.just("200 OK") | STATUSES,
    headers=st.lists(PLAIN | LENGTH, max_size=4) | st.lists(PLAIN | HEADERS, max_size=4),
    pieces=st.lists(st.just(b"hello"), max_size=3) | PIECES,
    forced=st.booleans(),
)
@example("GET", "", "200 OK", [("X-A", "a\r\nX-Evil: 1")], [b"hello"], False)
@example("GET", "", "200 OK", [("Content-Length", "10"), ("Content-Length", "5")], [b"hello", b"hello"], False)
def test_an_answer_is_gunicorns(
    method: str, request_headers: str, status: Any, headers: list[Any], pieces: list[Any], forced: bool
) -> None:
    """Byte for byte, and the same is refused: nothing of a header's value leads a life of its own."""

    def answer(response: Any) -> None:
        if forced:
            response.force_close()
        response.start_response(status, list(headers))
        for piece in pieces:
            response.write(piece)
        response.close()

    request = usual(method, headers=request_headers)
    wire, *rest = told(Answer, request, answer)
    assert (wire, *rest) == told(Response, request, answer)
    assert b"\r\nX-Evil" not in wire


@pytest.mark.parametrize("sends", [True, False])
def test_an_answer_is_started_once(sends: bool) -> None:
    """A second start is the application's fault, unless it says of which error; and that comes too late for a head."""

    def twice(response: Any) -> None:
        response.start_response("200 OK", [])(b"a" if sends else b"")
        with pytest.raises(AssertionError):
            response.start_response("200 OK", [])
        try:
            raise ValueError("oh")
        except ValueError:
            response.start_response("500 OH", [], sys.exc_info())

    assert told(Answer, usual(), twice) == told(Response, usual(), twice)


def test_a_start_for_an_error_takes_the_place_of_the_first() -> None:
    """With all that it said: an error's body is not cut to the length of the answer that failed."""

    def anew(response: Any) -> None:
        response.start_response("200 OK", [("X-A", "a"), ("Content-Length", "1")])
        try:
            raise ValueError
        except ValueError:
            response.start_response("500 OH", [("X-B", "b")], sys.exc_info())
        response.write(b"hello")
        response.close()

    def at_once(response: Any) -> None:
        response.start_response("500 OH", [("X-B", "b")])
        response.write(b"hello")
        response.close()

    assert told(Answer, usual(), anew) == told(Response, usual(), at_once)


class Counting(socket.socket):
    """A socket that counts what leaves it."""

    sends = 0

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send it."""
        self.sends += 1
        super().sendall(data, flags)


def sends(headers: Sequence[tuple[str, str]], pieces: Sequence[bytes]) -> int:
    """Return how many times something was sent for an answer."""
    ours, theirs = socket.socketpair()
    with theirs, Counting(ours.family, ours.type, fileno=ours.detach()) as counting:
        answer = Answer(usual(), counting, CFG)
        answer.start_response("200 OK", list(headers))
        answer.send(pieces)
        return counting.sends


def test_what_belongs_together_leaves_together() -> None:
    """The head and the first bytes, and a chunk with its framing."""
    assert sends([("Content-Length", "5")], [b"hello"]) == 1
    assert sends([], [b"hello", b"hello"]) == 3, "the end of the body is a piece too"


def test_a_body_is_let_go_of_when_it_breaks() -> None:
    """Whatever happens in it, `close` is called."""

    class Body:
        is_closed = False

        def __iter__(self) -> Any:
            yield b"a"
            raise ValueError

        def close(self) -> None:
            self.is_closed = True

    ours, theirs = socket.socketpair()
    body = Body()
    with ours, theirs, contextlib.suppress(ValueError):
        answer = Answer(usual(), ours, CFG)
        answer.start_response("200 OK", [])
        answer.send(body)
    assert body.is_closed
    assert answer.headers_sent


def test_an_operators_hooks_are_called(tmp_path: Path) -> None:
    """Who gives gunicorn hooks of their own for each request has them called, with what was asked and answered."""
    hooks = tmp_path / "hooked.py"
    hooks.write_text(
        'exec(open("gunicorn.conf.py").read())\n'
        'def pre_request(worker, req): print("hook: asked for", req.path, flush=True)\n'
        'def post_request(worker, req, environ, resp): print("hook: answered", resp.status, flush=True)\n'
    )
    with Gateway({"GUNICORN_CMD_ARGS": f"--config {hooks}"}) as gateway:
        request(gateway, "GET", "/health")
        gateway.wait_for("hook: asked for /health")
        gateway.wait_for("hook: answered 200 OK")

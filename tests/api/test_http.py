"""Requests from hell: whatever arrives on the socket gets a 4xx in OpenAI's JSON, and the worker lives on."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest
from api.client import chat
from gateway import KEY, Gateway

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % KEY.encode()
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n"


def get(rest: bytes, path: bytes = b"/health") -> bytes:
    """Return a GET with these header lines."""
    return b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + rest + END


def post(body: bytes, headers: bytes = JSON) -> bytes:
    """Return a POST to chat with this body."""
    return POST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def message(content: str) -> bytes:
    """Return a body whose one message has this JSON text as its content."""
    return b'{"model": "gpt-4.1", "messages": [{"role": "user", "content": %b}]}' % content.encode()


REQUESTS: dict[str, tuple[bytes, int, str | None]] = {
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, None),
    "no HTTP version": (b"GET /health\r\n\r\n", 400, None),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\n\r\n", 400, None),
    "a long request line": (get(b"", b"/" + b"a" * 9000), 414, None),
    "a long header": (get(b"X: " + b"a" * 20000 + b"\r\n"), 431, None),
    "many headers": (get(b"".join(b"X%d: a\r\n" % number for number in range(300))), 431, None),
    "a space in a header's name": (get(b"foo bar: a\r\n"), 400, None),
    "a NUL in a header": (get(b"X-Request-Id: \x00\r\n"), 400, None),
    "a transfer coding nobody knows": (POST + JSON + b"Transfer-Encoding: gzip\r\n\r\n", 400, None),
    "two lengths of one kind": (POST + JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, None),
    "one length twice": (POST + JSON + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, None),
    "a list of lengths": (POST + JSON + b"Content-Length: 2, 2\r\n\r\n{}", 400, None),
    "a signed length": (POST + JSON + b"Content-Length: +2\r\n\r\n{}", 400, None),
    "chunked twice": (POST + JSON + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n", 400, None),
    "chunked, and more": (POST + JSON + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, None),
    "chunked in HTTP/1.0": (POST.replace(b"1.1", b"1.0") + JSON + CHUNKED + b"\r\n0\r\n\r\n", 400, None),
    "a coding that hides": (POST + JSON + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, None),
    "a space before the colon": (POST + JSON + b"Content-Length : 2\r\n\r\n{}", 400, None),
    "a folded header": (POST + JSON + b"X-A: b\r\n Content-Length: 2\r\n\r\n{}", 400, None),
    "a bare LF": (POST + JSON + b"X-A: b\nContent-Length: 2\r\n\r\n{}", 400, None),
    "a bare CR": (POST + JSON + b"X-A: b\rContent-Length: 2\r\n\r\n{}", 400, None),
    "two hosts": (get(b"Host: y\r\n"), 400, None),
    "a trailer that lets in": (
        POST + JSON + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n", 400, None,
    ),
    "all of the head too long": (get(b"".join(b"X%d: %b\r\n" % (each, b"a" * 8000) for each in range(20))), 431, None),
    "two lengths": (POST + JSON + CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n", 400, None),
    "a negative length": (POST + JSON + b"Content-Length: -3\r\n\r\n", 400, None),
    "a length that is no number": (POST + JSON + b"Content-Length: abc\r\n\r\n", 400, None),
    "a chunk size that is none": (POST + JSON + CHUNKED + b"\r\nzz\r\nabc\r\n0\r\n\r\n", 400, None),
    "a chunk longer than it says": (POST + JSON + CHUNKED + b"\r\n3\r\nabcd\r\n0\r\n\r\n", 400, None),
    "an expectation": (POST + JSON + b"Expect: nonsense\r\nContent-Length: 2\r\n\r\n{}", 417, None),
    "a path of no encoding": (get(b"", b"/%ff%fe"), 404, None),
    "a method nobody knows": (POST.replace(b"POST", b"BREW", 1) + END, 405, None),
    "a path with a format string": (get(b"", b"/%7Bpath.__class__%7D/%7Bx%7D/%7Bpath:%3E900000000%7D"), 404, None),
    "CONNECT": (b"CONNECT x:443 HTTP/1.1\r\n\r\n", 404, None),
    "no content type": (post(b"{}", b""), 415, None),
    "another content type": (post(b"{}", b"Content-Type: text/plain\r\n"), 415, None),
    "a form": (post(b"a=b", b"Content-Type: application/x-www-form-urlencoded\r\n"), 415, None),
    "gzip": (post(b"\x1f\x8b", JSON + b"Content-Encoding: gzip\r\n"), 415, "Content-Encoding"),
    "no body": (post(b""), 400, None),
    "a BOM": (post(b"\xef\xbb\xbf{}"), 400, None),
    "UTF-16": (post("{}".encode("utf-16")), 400, None),
    "invalid UTF-8": (post(message('"\xff"').replace("ÿ".encode(), b"\xff")), 400, None),
    "a lone surrogate": (post(message('"\\ud800"')), 400, None),
    "NaN": (post(b'{"model": "m", "messages": [], "temperature": NaN}'), 400, None),
    "Infinity": (post(b'{"model": "m", "messages": [], "temperature": Infinity}'), 400, None),
    "1e999": (post(b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}'), 400, None),
    "a huge integer": (post(message('"x"').replace(b"}]", b'}], "seed": 1' + b"0" * 400)), 400, "seed"),
    "nested lists": (post(b"[" * 9_000), 400, None),
    "nested objects": (post(message('[{"type":' * 5_000)), 400, None),
    "more lists than anybody looks at": (post(b"[" * 100_000), 413, None),
    "nested in a tool": (
        post(b'{"model":"m","messages":[],"tools":' + b'[{"a":' * 4_000 + b"1" + b"}]" * 4_000 + b"}"), 400, None,
    ),
    "a list": (post(b"[]"), 400, None),
    "null": (post(b"null"), 400, None),
    "a number as content": (post(message("5")), 400, "messages[0].content"),
    "an object as content": (post(message('{"type": "text"}')), 400, "messages[0].content"),
    "a part of no type": (post(message('[{"text": "x"}]')), 400, "messages[0].content[0]"),
    "8 MB": (post(message('"' + "x" * 8_000_000 + '"')), 413, None),
    "8 MB, announced": (POST + JSON + b"Content-Length: 8000000\r\n\r\n{", 413, None),
    "8 MB in chunks": (
        POST + JSON + CHUNKED + b"\r\n" + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 123 + b"0\r\n\r\n", 413, None,
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _worker_lives_on(gateway: Gateway) -> Iterator[None]:
    """After all of it the same worker serves the next caller, and no traceback was printed."""
    yield
    assert chat(gateway, "gpt-4.1").text == "You said: hello"
    assert "Traceback" not in gateway.output
    assert not [line for line in gateway.lines if isinstance(line, dict) and line["level"] == "error"]


@pytest.mark.parametrize("case", REQUESTS)
def test_it_gets_a_4xx_that_says_why(gateway: Gateway, case: str) -> None:
    """The status fits, the error has OpenAI's shape, and `param` names the field where there is one."""
    wire, status, param = REQUESTS[case]
    head, body = _exchange(gateway, wire)
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"content-type: application/json" in head.lower()
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


def test_duplicate_keys_are_taken_as_openai_takes_them(gateway: Gateway) -> None:
    """The last of two equal keys counts."""
    _, body = _exchange(gateway, post(message('"first", "content": "second"')))
    assert json.loads(body)["choices"][0]["message"]["content"] == "You said: second"


def test_a_chunked_body_is_a_body(gateway: Gateway) -> None:
    """A request without a length, sent in chunks, is answered like any other."""
    body = message('"hello"')
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[place : place + 7]), body[place : place + 7]) for place in range(0, len(body), 7)
    )
    _, answer = _exchange(gateway, POST + JSON + CHUNKED + END + chunks + b"0\r\n\r\n")
    assert json.loads(answer)["choices"][0]["message"]["content"] == "You said: hello"


def test_pipelined_requests_are_answered_in_turn(gateway: Gateway) -> None:
    """Two requests sent at once get two answers, in order."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(post(message('"one"')) + post(message('"two"'), JSON + b"Connection: close\r\n"))
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.index(b"You said: one") < data.index(b"You said: two")


@pytest.mark.parametrize("path", [b"/v1/models", b"/health", b"/v1/models/gpt-4.1"])
def test_head_is_get_without_a_body(gateway: Gateway, path: bytes) -> None:
    """HEAD answers the same status and headers, and nothing more."""
    head, body = _exchange(
        gateway, b"HEAD " + path + b" HTTP/1.1\r\nHost: x\r\nX-API-Key: " + KEY.encode() + b"\r\n\r\n"
    )
    assert b" 200 " in head.split(b"\r\n")[0]
    assert body == b""


def test_options_says_what_is_allowed(gateway: Gateway) -> None:
    """OPTIONS answers the methods of the path."""
    head, _ = _exchange(gateway, POST.replace(b"POST", b"OPTIONS", 1) + END)
    assert b"allow: " in head.lower()
    assert b"POST" in head


def test_a_body_that_is_cut_is_no_request(gateway: Gateway) -> None:
    """A body that ends before its length is refused, whole as its JSON may be."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(POST + JSON + b"Content-Length: 9\r\n\r\n{}")
        sock.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    assert data.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in data


def test_nothing_that_was_sent_leads_a_life_of_its_own_in_the_headers(gateway: Gateway) -> None:
    """An odd id and a model's name with a line break make no header of the answer."""
    sent = message('"hello"').replace(b'"gpt-4.1"', b'"nobody/x\\r\\nX-Evil: 1"')
    odd = JSON + b"X-Request-Id: a b;<script>\r\nX-Conversation-Id: a\tb\r\n"
    head, _ = _exchange(gateway, post(sent, odd))
    assert b"evil" not in head.lower()
    assert b"script" not in head
    assert b"\r\nX-Request-Id: req_" in head


@pytest.mark.parametrize(
    "wire", [get(b"", b"/v1/../health"), get(b"", b"//evil.example/health"), get(b"", b"/health;x")]
)
def test_a_path_is_what_it_says(gateway: Gateway, wire: bytes) -> None:
    """Nothing climbs out of a path, nothing is redirected, and nothing but the path itself leads to a view."""
    head, _ = _exchange(gateway, wire)
    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"location" not in head.lower()


def _exchange(gateway: Gateway, wire: bytes) -> tuple[bytes, bytes]:
    """Send bytes and return the head and the body of the answer, whether the request was read whole or not."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        with contextlib.suppress(OSError):  # it may be refused before it was read whole
            sock.sendall(wire)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length and not wire.startswith(b"HEAD"):
            body += sock.recv(65536)
        return head, body

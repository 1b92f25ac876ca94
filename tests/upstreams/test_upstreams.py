"""The scripted server itself: framing, steps, recording, and noticing that the client left."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from . import Answer, Cut, Gate, Hold, Recorded, Reset, Send, SendRaw, Split, Step, Upstream, Wait

SOON_S = 0.1
"""How soon a client's leaving is noticed; the promise of DESIGN's decision 5."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Serve with no script."""
    with Upstream() as server:
        yield server


def connect(upstream: Upstream) -> http.client.HTTPConnection:
    """Make a client of one connection."""
    return http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)


def ask(client: http.client.HTTPConnection, model: str = "m") -> None:
    """Send a request for the model."""
    client.request("POST", "/v1/x?y=1", f'{{"model": "{model}"}}', {"X-Thing": "a"})


@contextmanager
def raw(upstream: Upstream, model: str = "m") -> Iterator[socket.socket]:
    """A bare socket that has asked already."""
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as sock:
        body = f'{{"model": "{model}"}}'
        sock.sendall(f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        yield sock


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """Read up to the mark and not a byte more."""
    data = b""
    while not data.endswith(mark):
        piece = sock.recv(1)
        assert piece, data
        data += piece
    return data


def answer(upstream: Upstream, script: Answer) -> tuple[int, str | None, str]:
    """Ask once; status, content type and text of the answer."""
    upstream.answers["m"] = script
    client = connect(upstream)
    ask(client)
    with closing(client):
        response = client.getresponse()
        return response.status, response.headers["content-type"], response.read().decode()


def test_a_request_is_recorded_whole(upstream: Upstream) -> None:
    """Method, path, lower-case headers, body, JSON, connection and time of each request are there to be asserted."""
    before = time.monotonic()
    with closing(connect(upstream)) as client:
        ask(client)
        client.getresponse().read()
    (recorded,) = upstream.wait_for_requests(1)
    assert (recorded.method, recorded.path, recorded.route) == ("POST", "/v1/x?y=1", "POST /v1/x")
    assert recorded.headers["x-thing"] == "a"
    assert recorded.body == b'{"model": "m"}'
    assert recorded.json == {"model": "m"}
    assert recorded.model == "m"
    assert before <= recorded.received_at <= time.monotonic()
    assert recorded.answered.wait(5)
    assert not recorded.client_gone.is_set()


def test_a_chunked_request_body_is_read(upstream: Upstream) -> None:
    """A body in chunks is one body."""
    with closing(connect(upstream)) as client:
        client.request("POST", "/", iter([b'{"model":', b'"m"}']), encode_chunked=True)
        client.getresponse().read()
    assert upstream.requests[0].headers["transfer-encoding"] == "chunked"
    assert upstream.requests[0].json == {"model": "m"}


def test_a_body_that_is_not_json_is_kept_as_bytes(upstream: Upstream) -> None:
    """What is not JSON is recorded as bytes, and has no model."""
    with closing(connect(upstream)) as client:
        client.request("POST", "/", b"\xff{")
        client.getresponse().read()
    assert (upstream.requests[0].body, upstream.requests[0].json, upstream.requests[0].model) == (b"\xff{", None, None)


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_connection_is_kept_and_named(upstream: Upstream, framing: str) -> None:
    """Two requests over one connection name the same one; another connection has another name."""
    upstream.answers["m"] = Answer(steps=[Send(b"a"), Send(b"b")], framing=framing)  # type: ignore[arg-type]
    with closing(connect(upstream)) as one, closing(connect(upstream)) as two:
        for client in (one, one, two):
            ask(client)
            assert client.getresponse().read() == b"ab"
    assert [recorded.connection for recorded in upstream.requests] == [1, 1, 2]
    assert upstream.connections == 2


def test_pipelined_requests_are_answered_in_turn(upstream: Upstream) -> None:
    """Bytes that come ahead of their turn belong to the next request, not to the client's leaving."""
    gate = threading.Event()
    upstream.queue("m", Answer(steps=[Gate(gate), Send(b"one")], framing="length"), Answer.empty(204))
    with raw(upstream) as sock:
        upstream.wait_for_requests(1)
        sock.sendall(b'POST / HTTP/1.1\r\ncontent-length: 14\r\n\r\n{"model": "m"}')
        gate.set()
        assert read_until(sock, b"one").startswith(b"HTTP/1.1 200 OK")
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 204 No Content")
    assert [recorded.answered.wait(5) for recorded in upstream.requests] == [True, True]


def test_closing_framing_ends_with_the_connection(upstream: Upstream) -> None:
    """`close` framing has neither chunks nor a length: the end of the connection ends the body."""
    upstream.answers["m"] = Answer(steps=[Send(b"a"), Send(b"b")], framing="close")
    with raw(upstream) as sock:
        assert read_until(sock, b"ab").startswith(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        assert sock.recv(1) == b""


def test_a_chunked_answer_byte_for_byte(upstream: Upstream) -> None:
    """Send makes one chunk, Split many that may cut a character, SendRaw none; an empty Send does not end the body."""
    script: list[Step] = [Send(b""), Send(b"ab"), Split("é€".encode(), 1), SendRaw(b"1;x=y\r\n!\r\n")]
    upstream.answers["m"] = Answer(418, {"X-A": "b"}, script)
    with raw(upstream) as sock:
        head = b"HTTP/1.1 418 I'm a Teapot\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"
        chunks = b"2\r\nab\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in "é€".encode()) + b"1;x=y\r\n!\r\n"
        assert read_until(sock, b"0\r\n\r\n") == head + chunks + b"0\r\n\r\n"


def test_each_chunk_leaves_at_once(upstream: Upstream) -> None:
    """What was sent before a gate is with the client while the gate is closed."""
    gate = threading.Event()
    upstream.answers["m"] = Answer(steps=[Send(b"first"), Gate(gate), Send(b"second")])
    with raw(upstream) as sock:
        assert b"first" in read_until(sock, b"first\r\n")
        assert upstream.open_streams == 1
        gate.set()
        read_until(sock, b"second\r\n0\r\n\r\n")
    assert upstream.requests[0].answered.wait(5)
    upstream.wait_until_idle()


def test_one_gate_opens_for_all(upstream: Upstream) -> None:
    """A gate that many answers wait at opens for each of them, and stays open until it is closed again."""
    gate = threading.Event()
    upstream.answers["m"] = Answer(before=[Gate(gate)])
    with raw(upstream) as one, raw(upstream) as two, raw(upstream) as three:
        upstream.wait_for_requests(3)
        gate.set()
        for sock in (one, two, three):
            read_until(sock, b"0\r\n\r\n")
        gate.clear()
        with raw(upstream) as four:
            upstream.wait_for_requests(4)
            gate.set()
            read_until(four, b"0\r\n\r\n")


def test_a_wait_is_a_latency(upstream: Upstream) -> None:
    """What follows a Wait comes after its time."""
    started = time.monotonic()
    assert answer(upstream, Answer(before=[Wait(0.03)], steps=[Wait(0.03), Send(b"x")])) == (200, None, "x")
    assert time.monotonic() - started >= 0.06


@pytest.mark.parametrize(
    ("script", "status", "kind", "text"),
    [
        (Answer.error(429, {"error": "é"}, {"retry-after": "1"}), 429, "application/json", '{"error":"é"}'),
        (Answer.html(502, "<html>"), 502, "text/html", "<html>"),
        (Answer.empty(503), 503, None, ""),
        (Answer.empty(), 200, None, ""),
        (Answer(529), 529, None, ""),
    ],
)
def test_plain_answers(upstream: Upstream, script: Answer, status: int, kind: str | None, text: str) -> None:
    """Errors in JSON and HTML, and empty bodies, are one call each."""
    assert answer(upstream, script) == (status, kind, text)


@pytest.mark.parametrize("script", [Answer.reset(), Answer(steps=[Send(b"first"), Reset()])])
def test_a_reset_is_a_reset(upstream: Upstream, script: Answer) -> None:
    """A scripted reset reaches the client as ECONNRESET, before the head or in mid-stream, and counts as sent."""
    upstream.answers["m"] = script
    with raw(upstream) as sock:
        if script.steps:
            read_until(sock, b"first\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert upstream.wait_for_requests(1)[0].answered.wait(5)


@pytest.mark.parametrize("script", [Answer.cut(), Answer(steps=[Send(b"first"), Cut()])])
def test_a_cut_is_a_clean_close(upstream: Upstream, script: Answer) -> None:
    """A scripted cut is the end of TCP without the end of the body."""
    upstream.answers["m"] = script
    with raw(upstream) as sock:
        if script.steps:
            read_until(sock, b"first\r\n")
        assert sock.recv(1) == b""
    assert upstream.requests[0].answered.wait(5)


def test_a_length_may_lie(upstream: Upstream) -> None:
    """A content-length that is given is left alone, so that a short body can be scripted."""
    with pytest.raises(http.client.IncompleteRead):
        answer(upstream, Answer(200, {"content-length": "9"}, [Send(b"x"), Cut()], "length"))


def test_raw_bytes_may_stand_for_the_head(upstream: Upstream) -> None:
    """A head that is no HTTP can be scripted."""
    with pytest.raises(http.client.BadStatusLine):
        answer(upstream, Answer(before=[SendRaw(b"nonsense\r\n\r\n"), Cut()]))


ENDLESS = threading.Event()
PIECE: list[Step] = [Send(b"y" * 1000), Wait(0.001)]
PHASES = {
    "silent": Answer.silent(),
    "waiting before the head": Answer(before=[Wait(60)]),
    "held in mid-stream": Answer(steps=[Send(b"x"), Hold()]),
    "waiting in mid-stream": Answer(steps=[Send(b"x"), Wait(60)]),
    "gated in mid-stream": Answer(steps=[Send(b"x"), Gate(ENDLESS)]),
    "blocked by a client that does not read": Answer(steps=[Send(bytes(50_000_000))]),
    "sending piece by piece": Answer(steps=[Send(b"x"), *PIECE * 50_000]),
}


@pytest.mark.parametrize("abortive", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_is_noticed_at_once(upstream: Upstream, phase: str, abortive: bool) -> None:
    """In every phase of an answer, a client's close or reset is noticed and timed within 100 ms."""
    upstream.answers["m"] = PHASES[phase]
    with raw(upstream) as sock:
        (recorded,) = upstream.wait_for_requests(1)
        if PHASES[phase].steps:
            read_until(sock, b"\r\n\r\n")
        if abortive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left_at = time.monotonic()
    assert recorded.client_gone.wait(5)
    assert recorded.client_gone_at is not None
    assert 0 <= recorded.client_gone_at - left_at < SOON_S
    assert not recorded.answered.is_set()
    assert upstream.open_streams == 0


def test_closing_the_server_ends_what_it_holds() -> None:
    """A held answer ends when the server closes, and nobody is said to have left; the port then refuses."""
    with Upstream() as upstream:
        upstream.answers["m"] = Answer(steps=[Send(b"x"), Hold()])
        with raw(upstream) as sock:
            read_until(sock, b"x\r\n")
            upstream.close()
            assert sock.recv(1) == b""
        assert not upstream.requests[0].client_gone.is_set()
        assert not upstream.requests[0].answered.is_set()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", upstream.port))


def test_answers_are_chosen_by_model_and_route(upstream: Upstream) -> None:
    """A model has its own answer, a function of the request, or a queue whose last answer stays; a route too."""

    def said(recorded: Recorded) -> Answer:
        return Answer(steps=[Send(recorded.headers["x-thing"].encode())])

    upstream.answers["called"] = said
    upstream.queue("queued", Answer(steps=[Send(b"1")]), said, Answer(steps=[Send(b"3")]))
    upstream.answers["GET /here"] = Answer(steps=[Send(b"route")])
    texts = []
    with closing(connect(upstream)) as client:
        for model in ("called", "queued", "queued", "queued", "queued"):
            ask(client, model)
            texts.append(client.getresponse().read())
        client.request("GET", "/here?a=b")
        texts.append(client.getresponse().read())
    assert texts == [b"a", b"1", b"a", b"3", b"3", b"route"]


def test_waiting_for_requests_that_never_come_fails(upstream: Upstream) -> None:
    """A test that waits in vain is told how many came."""
    with pytest.raises(AssertionError, match="0 of 1 requests"):
        upstream.wait_for_requests(1, timeout_s=0.01)


def test_nonsense_is_a_bad_request(upstream: Upstream) -> None:
    """What is not HTTP is answered 400 and recorded nowhere."""
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as sock:
        sock.sendall(b"hello\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert upstream.requests == []


def test_five_hundred_streams_at_once(upstream: Upstream) -> None:
    """500 connections hold an open answer at the same time, and all end whole."""
    gate = threading.Event()
    upstream.answers["m"] = Answer(steps=[Send(b"x"), Gate(gate), Send(b"y")])
    socks = []
    try:
        with ThreadPoolExecutor(50) as pool:
            socks = list(pool.map(lambda _: socket.create_connection(("127.0.0.1", upstream.port), 5), range(500)))
        for sock in socks:
            sock.sendall(b'POST / HTTP/1.1\r\ncontent-length: 14\r\n\r\n{"model": "m"}')
        upstream.wait_for_requests(500)
        assert (upstream.open_streams, upstream.connections) == (500, 500)
        gate.set()
        assert all(recorded.answered.wait(5) for recorded in upstream.requests)
    finally:
        for sock in socks:
            sock.close()

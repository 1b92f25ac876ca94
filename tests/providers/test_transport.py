"""The HTTP transport against real sockets: reuse, every framing, and every way in which a connection can fail."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest
from providers.bridge import Bridge
from upstreams import Answer, Cut, Gate, Hold, Reset, Send, SendRaw, Split, Upstream

from app.domain.errors import ProviderBroken, ProviderTimeout, ProviderUnreachable
from app.providers import transport as module
from app.providers.transport import MAX_IDLE_PER_ORIGIN, Origin, Transport

SOON_S = 2.0
TRAILER = b"2\r\nok\r\n0\r\nx-a: b\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
UPGRADE = b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
OK = Answer(steps=[Send(b"ok")], framing="length")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Serve with no script."""
    with Upstream() as server:
        yield server


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    """A client on the transport, with time-outs that a test can wait for."""
    timeout = httpx2.Timeout(connect=1, read=SOON_S, write=1, pool=None)
    with httpx2.Client(transport=Bridge(), timeout=timeout) as client:
        yield client


def ask(client: httpx2.Client, upstream: Upstream, *answers: Answer, model: str = "m") -> httpx2.Response:
    """Script answers, if any, and make one request."""
    if answers:
        upstream.queue(model, *answers)
    return client.post(f"{upstream.url}/v1/x?y=1", json={"model": model})


def test_a_request_arrives_as_it_was_made(client: httpx2.Client, upstream: Upstream) -> None:
    """Method, path with query, headers and body are those of the request."""
    client.put(f"{upstream.url}/a%20b?c=%C3%A9&d", content=b"\x00\xff", headers={"X-Thing": "é".encode()})
    (recorded,) = upstream.requests
    assert (recorded.method, recorded.path) == ("PUT", "/a%20b?c=%C3%A9&d")
    assert recorded.body == b"\x00\xff"
    assert recorded.headers["x-thing"] == "Ã©"
    assert recorded.headers["content-length"] == "2"
    assert recorded.headers["host"] == f"127.0.0.1:{upstream.port}"


BODIES = [
    pytest.param(OK, b"ok", True, id="of known length"),
    pytest.param(Answer.empty(), b"", True, id="of no length"),
    pytest.param(Answer(204, {}, [], "close"), b"", False, id="204, closing"),
    pytest.param(Answer(204, {"connection": "keep-alive"}, [], "close"), b"", False, id="204 without a length"),
    pytest.param(Answer(steps=[Send(b"o"), Send(b"k")]), b"ok", True, id="in chunks"),
    pytest.param(Answer(steps=[Split("héllo".encode() * 20, 1)]), "héllo".encode() * 20, True, id="in many chunks"),
    pytest.param(Answer(steps=[SendRaw(b"2;x=y\r\no"), SendRaw(b"k\r\n")]), b"ok", True, id="in odd packets"),
    pytest.param(
        Answer(headers={"transfer-encoding": "chunked"}, steps=[Send(TRAILER)], framing="close"),
        b"ok",
        False,
        id="in chunks, with a trailer",
    ),
    pytest.param(Answer(steps=[Send(b"x" * 300_000)], framing="length"), b"x" * 300_000, True, id="of many packets"),
    pytest.param(Answer(steps=[Send(b"o"), Send(b"k")], framing="close"), b"ok", False, id="until it closes"),
    pytest.param(Answer(headers={"connection": "close"}, steps=[Send(b"ok")]), b"ok", False, id="in chunks, closing"),
    pytest.param(Answer(before=[SendRaw(INTERIM)], steps=[Send(b"ok")]), b"ok", True, id="after interim answers"),
]


@pytest.mark.parametrize(("answer", "body", "kept"), BODIES)
def test_bodies(client: httpx2.Client, upstream: Upstream, answer: Answer, body: bytes, kept: bool) -> None:
    """A body of any framing is read whole, and the connection is used again where HTTP allows it."""
    for _ in range(2):
        response = ask(client, upstream, answer)
        assert (response.status_code, response.content) == (answer.status, body)
        assert "link" not in response.headers
    assert [recorded.connection for recorded in upstream.requests] == ([1, 1] if kept else [1, 2])


def test_bytes_are_handed_on_as_they_come(client: httpx2.Client, upstream: Upstream) -> None:
    """The first bytes are there while the server still holds the next ones back."""
    gate = threading.Event()
    upstream.answers["m"] = Answer(steps=[Send(b"first"), Gate(gate), Send(b"second")])
    with client.stream("POST", upstream.url, json={"model": "m"}) as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"first"
        gate.set()
        assert list(pieces) == [b"second"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(steps=[Send(b"ab"), Cut()]), id="chunks without an end"),
        pytest.param(Answer(steps=[SendRaw(b"5\r\nab"), Cut()]), id="a chunk cut in two"),
        pytest.param(Answer(headers={"content-length": "9"}, steps=[Send(b"ab"), Cut()], framing="length"), id="short"),
        pytest.param(Answer(steps=[SendRaw(b"zz\r\n"), Hold()]), id="not a chunk"),
        pytest.param(Answer(before=[SendRaw(b"SSH-2.0-OpenSSH_9.9\r\n"), Hold()]), id="not HTTP"),
        pytest.param(Answer(before=[SendRaw(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"), Hold()]), id="a bad header"),
        pytest.param(Answer(before=[SendRaw(b"HTTP/1.1 200 OK\r\ncontent-le"), Cut()]), id="half a head"),
        pytest.param(Answer(before=[SendRaw(UPGRADE), Hold()]), id="an upgrade"),
        pytest.param(Answer.cut(), id="nothing"),
    ],
)
def test_what_is_not_a_whole_answer(client: httpx2.Client, upstream: Upstream, answer: Answer) -> None:
    """An answer that breaks off, or is no HTTP, is ProviderBroken, asked once, and its connection is closed."""
    with pytest.raises(ProviderBroken):
        ask(client, upstream, answer)
    assert len(upstream.requests) == 1
    assert ask(client, upstream, OK).content == b"ok"
    assert upstream.requests[-1].connection == 2


@pytest.mark.parametrize("answer", [Answer.reset(), Answer(steps=[Send(b"ab"), Reset()])])
def test_a_reset(client: httpx2.Client, upstream: Upstream, answer: Answer) -> None:
    """A reset, before the head or in mid-body, is ProviderBroken."""
    with pytest.raises(ProviderBroken):
        ask(client, upstream, answer)
    assert len(upstream.requests) == 1


def test_an_idle_connection_that_was_closed_is_replaced_unseen(client: httpx2.Client, upstream: Upstream) -> None:
    """A kept connection that the server closed meanwhile costs no failed request."""
    closing = Answer(headers={"content-length": "2"}, steps=[Send(b"ok"), Cut()], framing="length")
    assert ask(client, upstream, closing, OK).content == b"ok"
    assert upstream.requests[0].answered.wait(SOON_S)
    assert ask(client, upstream).content == b"ok"
    assert [recorded.connection for recorded in upstream.requests] == [1, 2]


def test_an_idle_connection_that_spoke_unasked_is_replaced(client: httpx2.Client, upstream: Upstream) -> None:
    """A 408 that a server sends to an idle connection is never taken for the next answer."""
    gate = threading.Event()
    unasked = SendRaw(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
    speaking = Answer(headers={"content-length": "2"}, steps=[Send(b"ok"), Gate(gate), unasked], framing="length")
    assert ask(client, upstream, speaking, OK).content == b"ok"
    gate.set()
    assert upstream.requests[0].answered.wait(SOON_S)
    assert ask(client, upstream).status_code == 200
    assert [recorded.connection for recorded in upstream.requests] == [1, 2]


@pytest.mark.parametrize("end", [Answer.cut(), Answer.reset()])
def test_a_connection_that_closes_as_the_request_goes_out(
    client: httpx2.Client, upstream: Upstream, end: Answer
) -> None:
    """A kept connection that ends without a byte of an answer is replaced by a new one, once."""
    ask(client, upstream, OK, end, OK)
    assert ask(client, upstream).content == b"ok"
    assert [recorded.connection for recorded in upstream.requests] == [1, 1, 2]
    with pytest.raises(ProviderBroken):
        ask(client, upstream, end)
    assert [recorded.connection for recorded in upstream.requests[3:]] == [2, 3]


@pytest.mark.parametrize("begun", [b"HTTP/1.1 20", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: "])
def test_an_answer_that_had_begun_is_not_asked_for_again(
    client: httpx2.Client, upstream: Upstream, begun: bytes
) -> None:
    """Once a byte of an answer came, the model is at work: it is not set to work twice."""
    ask(client, upstream, OK, Answer(before=[SendRaw(begun), Cut()]), OK)
    with pytest.raises(ProviderBroken):
        ask(client, upstream)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("more", [b"JUNK", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 1\r\n\r\nx"])
def test_what_comes_after_an_answer_is_no_part_of_it(client: httpx2.Client, upstream: Upstream, more: bytes) -> None:
    """Bytes beyond the end, in the same packet, change nothing in the answer; its connection is not used again."""
    longer = Answer(headers={"content-length": "2"}, steps=[Send(b"ok" + more)], framing="length")
    response = ask(client, upstream, longer, OK)
    assert (response.status_code, response.content) == (200, b"ok")
    assert ask(client, upstream).content == b"ok"
    assert [recorded.connection for recorded in upstream.requests] == [1, 2]


def test_an_old_connection_is_not_used(
    client: httpx2.Client, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle for too long, a connection is closed by us: middleboxes forget such ones without a word."""
    monkeypatch.setattr(module, "MAX_IDLE_S", -1.0)
    for _ in range(2):
        ask(client, upstream, OK)
    assert [recorded.connection for recorded in upstream.requests] == [1, 2]


def test_each_origin_has_its_own_connections(client: httpx2.Client, upstream: Upstream) -> None:
    """A connection is never used for another server."""
    with Upstream() as other:
        for server in (upstream, other, upstream, other):
            ask(client, server, OK)
        assert [len({each.connection for each in server.requests}) for server in (upstream, other)] == [1, 1]


def test_silence_is_a_read_timeout(client: httpx2.Client, upstream: Upstream) -> None:
    """Silence before the head and in mid-body is ProviderTimeout, about in time, and the server sees us leave."""
    for answer in (Answer.silent(), Answer(steps=[Send(b"ab"), Hold()])):
        upstream.answers["m"] = answer
        started = time.monotonic()
        with pytest.raises(ProviderTimeout):
            client.post(upstream.url, json={"model": "m"}, timeout=0.2)
        assert 0.2 <= time.monotonic() - started < SOON_S
        assert upstream.requests[-1].client_gone.wait(SOON_S)


def test_a_slow_answer_is_not_silence(client: httpx2.Client, upstream: Upstream) -> None:
    """The budget bounds each silence, not the whole answer."""
    gates = [threading.Event() for _ in range(4)]
    upstream.answers["m"] = Answer(steps=[step for gate in gates for step in (Send(b"x"), Gate(gate))])
    started = time.monotonic()
    with client.stream("POST", upstream.url, json={"model": "m"}, timeout=0.5) as response:
        for number, piece in enumerate(response.iter_raw()):
            assert piece == b"x"
            threading.Timer(0.2, gates[number].set).start()
    assert time.monotonic() - started > 0.5


def test_nobody_listens(client: httpx2.Client, upstream: Upstream) -> None:
    """A refused connection is ProviderUnreachable, at once."""
    upstream.close()
    with pytest.raises(ProviderUnreachable):
        ask(client, upstream)


def test_a_connection_that_is_never_made(client: httpx2.Client) -> None:
    """A server that does not answer the handshake is ProviderTimeout, not ProviderUnreachable."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        full = [socket.socket() for _ in range(3)]
        for sock in full:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        with pytest.raises(ProviderTimeout):
            client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.2)
        for sock in full:
            sock.close()


@contextmanager
def deaf_server() -> Iterator[socket.socket]:
    """Listen; the kernel takes connections, and nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_server_that_does_not_read(client: httpx2.Client) -> None:
    """A request that nobody takes is ProviderTimeout."""
    with deaf_server() as listener, pytest.raises(ProviderTimeout):
        client.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", content=b"x" * 20_000_000, timeout=0.2)


def test_a_server_that_hangs_up_on_the_request(client: httpx2.Client) -> None:
    """A connection that ends while a large request is sent is ProviderBroken."""
    with deaf_server() as listener:

        def hang_up() -> None:
            sock, _ = listener.accept()
            sock.recv(1)
            sock.close()

        server = threading.Thread(target=hang_up)
        server.start()
        with pytest.raises(ProviderBroken):
            client.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", content=b"x" * 20_000_000)
        server.join()


def test_closing_a_body_early_ends_its_connection(client: httpx2.Client, upstream: Upstream) -> None:
    """A body that is closed in mid-stream closes its connection, so that the server stops."""
    upstream.answers["m"] = Answer(steps=[Send(b"ab"), Hold()])
    with client.stream("POST", upstream.url, json={"model": "m"}) as response:
        assert next(response.iter_raw()) == b"ab"
    assert upstream.requests[0].client_gone.wait(SOON_S)
    response.close()


def test_many_threads(upstream: Upstream) -> None:
    """Two hundred threads share a transport: each gets its own answers, and few connections stay open."""
    transport = Transport()
    timeout = httpx2.Timeout(connect=5, read=10, write=5, pool=None)

    def talk(number: int) -> bool:
        for turn in range(3):
            model = f"{number}-{turn}"
            if ask(client, upstream, model=model).json()["body"] != {"model": model}:
                return False
        return True

    with httpx2.Client(transport=Bridge(transport), timeout=timeout) as client:
        with ThreadPoolExecutor(200) as pool:
            assert all(pool.map(talk, range(200)))
        assert len(upstream.requests) == 600
        assert upstream.connections < 600
        idle = transport._idle[Origin("http", "127.0.0.1", upstream.port)]
        assert 0 < len(idle) <= MAX_IDLE_PER_ORIGIN
    assert not idle

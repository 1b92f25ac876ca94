"""Slowloris and its kin, against gunicorn as it runs: who is slow is cut off in time, and nobody else notices."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from api.client import JSON, chat, read_until, request
from api.slow import Slow, hold
from gateway import KEY, Gateway
from upstreams import OpenAIUpstream

BOUND_S = 2.0
SLACK_S = 4.0
"""A busy machine may be late."""

QUICK_S = 1.0
"""For half of the turns; undisturbed they take some 10 ms."""

EACH = 120

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-API-Key: %b\r\n"
GOOD, BAD = HEAD % KEY.encode(), HEAD % b"wrong"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

CALLERS: dict[str, tuple[Callable[[], Slow], bytes | None]] = {
    "says nothing": (lambda: Slow(b""), None),
    "one byte": (lambda: Slow(b"P"), b"408"),
    "a head without end": (lambda: Slow(b"GET /health HTTP/1.1\r\nX-A: ", b"a"), b"408"),
    "a head with a good key": (lambda: Slow(GOOD + b"X-A: ", b"a"), b"408"),
    "a line without end": (lambda: Slow(b"GET /", b"a"), b"408"),
    "a body": (lambda: Slow(GOOD + b"Content-Length: 100000\r\n\r\n", b"x"), b"408"),
    "chunks": (lambda: Slow(GOOD + CHUNKED, b"1\r\nx\r\n"), b"408"),
    "a body that stops": (lambda: Slow(GOOD + b"Content-Length: 10\r\n\r\n{"), b"408"),
    "a stranger's body": (lambda: Slow(BAD + b"Content-Length: 100000\r\n\r\n", b"x"), b"401"),
    "a stranger's chunks": (lambda: Slow(BAD + CHUNKED, b"1\r\nx\r\n"), b"401"),
}


class NeverReads(Slow):
    """A stranger with a small window, who asks for the largest answer that needs no key, again and again."""

    def __init__(self) -> None:
        super().__init__(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)

    def begin(self, port: int) -> None:
        """Connect, and ask."""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(self.at_once)


@pytest.fixture(scope="module")
def bounded(openai_upstream: OpenAIUpstream) -> Iterator[Gateway]:
    """Glottis with short times, on Heroku, where an idle connection may live for long."""
    env = {"HEADER_TIMEOUT_S": str(BOUND_S), "BODY_TIMEOUT_S": str(BOUND_S), "DYNO": "web.1"}
    env |= {"OPENAI_API_KEY": openai_upstream.key, "OPENAI_BASE_URL": openai_upstream.base_url}
    with Gateway(env) as running:
        yield running


def turns(gateway: Gateway, count: int = 20) -> Callable[[], None]:
    """Return what takes so many ordinary turns, and holds them against what callers are used to."""

    def take() -> None:
        took_s = []
        for _ in range(count):
            began_at = time.monotonic()
            assert chat(gateway, "gpt-4.1", stream=True).text == "You said: hello"
            took_s.append(time.monotonic() - began_at)
        assert statistics.median(took_s) < QUICK_S, took_s

    return take


@pytest.mark.timeout(120)
def test_hundreds_of_slow_callers(bounded: Gateway) -> None:
    """1,200 of every kind at once: turns are taken as ever, and all who are slow with a request are gone in time."""
    slow = {name: [make() for _ in range(EACH)] for name, (make, _) in CALLERS.items()}
    silent = slow.pop("says nothing")
    for caller in silent:
        caller.begin(bounded.port)
    hold(bounded.port, [caller for callers in slow.values() for caller in callers], turns(bounded), 60)
    for caller in silent:
        caller.socket.close()
    for name, callers in slow.items():
        lasted_s = [caller.lasted_s for caller in callers]
        assert None not in lasted_s, name
        # A stranger's body is thrown away for two seconds, so that they can read why.
        assert max(each for each in lasted_s if each is not None) < BOUND_S + SLACK_S, name
        for caller in callers:
            head, _, body = caller.heard.partition(b"\r\n\r\n")
            assert head.split()[1] == CALLERS[name][1], name
            assert b"Connection: close" in head
            assert json.loads(body)["error"]["code"] in {"request_timeout", "invalid_api_key"}


def test_who_says_nothing(openai_upstream: OpenAIUpstream) -> None:
    """A connection without a request ends without a word, after gunicorn's keepalive: fresh, or after a request."""
    with Gateway({"GUNICORN_CMD_ARGS": "--keep-alive 1"}) as gateway:
        fresh, used = Slow(b""), Slow(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        hold(gateway.port, [fresh, used], lambda: None, 20)
    assert fresh.lasted_s is not None
    assert used.lasted_s is not None
    assert fresh.heard == b""
    assert used.heard.startswith(b"HTTP/1.1 200 ")
    assert used.heard.count(b"HTTP/1.1") == 1


def test_a_large_body_has_the_time_that_it_needs(bounded: Gateway) -> None:
    """A body that comes in steadily may take longer than the bound."""
    body = json.dumps({"model": "m", "messages": [{"role": "robot", "content": "x" * 700_000}]}).encode()
    pieces = [body[place : place + 70_000] for place in range(0, len(body), 70_000)]
    with socket.create_connection(("127.0.0.1", bounded.port), timeout=30) as sock:
        sock.sendall(GOOD + b"Content-Length: %d\r\n\r\n" % len(body))
        for piece in pieces:
            sock.sendall(piece)
            time.sleep(BOUND_S * 1.5 / len(pieces))
        assert b"messages[0].role" in read_until(sock, b"}}")


@pytest.fixture(scope="module")
def narrow(openai_upstream: OpenAIUpstream) -> Iterator[Gateway]:
    """Glottis with few connections."""
    env = {"GUNICORN_CMD_ARGS": "--worker-connections 64"}
    env |= {"OPENAI_API_KEY": openai_upstream.key, "OPENAI_BASE_URL": openai_upstream.base_url}
    with Gateway(env) as running:
        yield running


def test_the_idle_make_room(narrow: Gateway) -> None:
    """As many silent connections as a worker may have, and more, leave room for those who want something."""
    hold(narrow.port, [Slow(b"") for _ in range(300)], turns(narrow, 5), 1)


@pytest.mark.timeout(90)
def test_who_takes_nothing_makes_room(narrow: Gateway) -> None:
    """Strangers who ask for far more than they read are hung up, some seconds later, for those who read."""
    greedy = [NeverReads() for _ in range(100)]
    for caller in greedy:
        caller.begin(narrow.port)
    try:
        for _ in range(5):
            assert chat(narrow, "gpt-4.1", stream=True).text == "You said: hello"
    finally:
        for caller in greedy:
            caller.socket.close()


def test_pipelined_requests_take_turns_with_others(bounded: Gateway) -> None:
    """Whoever sends thousands of requests at once is answered, and others are not kept waiting until then."""
    count = 2000
    wire = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * (count - 1)
    wire += b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", bounded.port), timeout=60) as sock:
        sender = threading.Thread(target=sock.sendall, args=(wire,))
        sender.start()
        answered = sock.recv(65536).count(b"HTTP/1.1 200")
        before = request(bounded, "GET", "/health", None, JSON)
        sock.setblocking(False)
        while True:
            try:
                piece = sock.recv(65536)
            except BlockingIOError:
                break
            answered += piece.count(b"HTTP/1.1 200")
        assert before.status == 200
        assert answered < count
        sock.setblocking(True)
        answered += sum(piece.count(b"HTTP/1.1 200") for piece in iter(lambda: sock.recv(65536), b""))
        sender.join()
    assert answered >= count - 10  # a status line may be cut in two

"""A client's socket by itself: how long it waits for whom."""

import socket
from collections.abc import Iterator

import gevent
import pytest
from gunicorn.http.errors import LimitRequestHeaders

from app.api import connection
from app.api.connection import MOST_HEAD_BYTES, Bounds, ClientSocket
from app.domain.errors import RequestTimeout, RequestTooLarge


@pytest.fixture
def pair() -> Iterator[tuple[ClientSocket, socket.socket]]:
    """A socket of ours, and the client's other end."""
    ours, theirs = socket.socketpair()
    client = ClientSocket(ours.family, ours.type, fileno=ours.detach())
    client.bounds = Bounds(idle_s=0.05, head_s=0.05, body_s=0.05, body_bytes=1000)
    client.unread = {}
    client.await_request()
    with client, theirs:
        yield client, theirs


Pair = tuple[ClientSocket, socket.socket]


def read_on(client: ClientSocket) -> None:
    """Read as gunicorn does, for ever."""
    while True:
        assert client.recv(8192)


def test_nothing_in_time_is_the_end(pair: Pair) -> None:
    """Who never begins a request is taken to have gone."""
    assert pair[0].recv(100) == b""


@pytest.mark.parametrize("part", ["head", "body"])
def test_too_little_in_time_is_an_error(pair: Pair, part: str) -> None:
    """Who begins and does not go on is told so; the log says which part it was."""
    client, theirs = pair
    if part == "body":
        client.await_body()
    theirs.sendall(b"a")
    assert client.recv(100) == b"a"
    with pytest.raises(RequestTimeout) as caught:
        client.recv(100)
    assert part in (caught.value.detail or "")


def test_a_head_is_bounded_as_a_whole(pair: Pair) -> None:
    """However many headers there are, and however long each may be."""
    client, theirs = pair
    theirs.sendall(b"a" * (MOST_HEAD_BYTES + 1))
    with pytest.raises(LimitRequestHeaders):
        read_on(client)


def test_a_body_is_bounded_with_its_framing(pair: Pair) -> None:
    """Chunks of a byte each do not make a body of any length."""
    client, theirs = pair
    client.await_body()
    theirs.sendall(b"1\r\nx\r\n" * 12_000)
    with pytest.raises(RequestTooLarge):
        read_on(client)


def test_nobody_takes_the_answer(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that reads nothing is given up, as one that has gone."""
    monkeypatch.setattr(connection, "TAKE_S", 0.05)
    client, _ = pair
    with pytest.raises(BrokenPipeError):
        client.sendall(b"a" * 10_000_000)
    assert client.timeout is None
    assert client.unread == {}


def test_who_is_slow_to_take_is_known(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is waited for is among the unread, and told apart afterwards if that was for long."""
    monkeypatch.setattr(connection, "SLOW_S", 0.0)
    client, _ = pair
    client.sendall(b"a")
    assert not client.is_slow
    sender = gevent.spawn(client.sendall, b"a" * 10_000_000)
    gevent.sleep(0)
    assert list(client.unread) == [client]
    client.hang_up()
    with pytest.raises(BrokenPipeError):
        sender.get()
    assert client.is_slow


def test_lingering_ends(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a refused client still sends is thrown away, for a while; it reads the end of the answer at once."""
    monkeypatch.setattr(connection, "LINGER_S", 0.05)
    client, theirs = pair
    client.sendall(b"answer")
    theirs.sendall(b"a" * 100_000)
    client.linger()
    assert theirs.recv(100) == b"answer"
    assert theirs.recv(100) == b""

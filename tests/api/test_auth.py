"""Keys: compared by their hashes, all of them whichever fits, and before anything of a body is read."""

import socket

import pytest
from api.client import read_until
from gateway import KEY, Gateway

from app.api.auth import key_of

KEYS = ["short", "a-much-longer-key-" * 20, "with:colon"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer   {}", " {} "])
def test_a_good_key(key: str, form: str) -> None:
    """Each of the keys opens, with or without the scheme."""
    assert key_of(KEYS, ["", form.format(key), "wrong"]) == key


BAD = ["", " ", "Bearer", "Bearer ", "shor", "shortt", "SHORT", "Basic short", "schlüssel", "\udcff", "x" * 1_000_000]


@pytest.mark.parametrize("sent", BAD, ids=range(len(BAD)))
def test_a_bad_key(sent: str) -> None:
    """Nothing else opens: no part of a key, no empty one, and nothing that no header could hold."""
    assert key_of(KEYS, [sent]) is None
    assert key_of([], [sent]) is None


def test_many_keys() -> None:
    """However many there are, each is found."""
    keys = [f"key-{number}" for number in range(2000)]
    assert [key_of(keys, [key]) for key in keys[::500]] == keys[::500]


BODIES = {
    "a length": b"Content-Length: 4000000\r\n",
    "more than it takes": b"Content-Length: 4000000000000\r\n",
    "chunks": b"Transfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/nowhere"])
@pytest.mark.parametrize("body", BODIES)
def test_a_strangers_body_is_not_read(gateway: Gateway, body: str, path: str) -> None:
    """Who has no key is told so before a byte of the body was sent, and the connection ends there."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n".encode() + BODIES[body])
        sock.sendall(b"Content-Type: application/json\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert answer.split()[1] in {b"401", b"404", b"405"}
    assert b"\r\nConnection: close" in head


def test_a_stranger_who_sends_it_all_the_same_reads_the_answer(gateway: Gateway) -> None:
    """A body that nobody wants does not cost its sender the reason: no reset comes before it is read."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
        sock.sendall(b"x" * 3_000_000)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert b"invalid_api_key" in answer


def test_a_body_that_was_read_keeps_the_connection(gateway: Gateway) -> None:
    """A request that is refused for what its body says may be followed by a better one."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        for body in (b"{", b"[]"):
            sock.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"X-API-Key: %b\r\nContent-Length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
            )
            assert b"Connection: keep-alive" in read_until(sock, b"}}")

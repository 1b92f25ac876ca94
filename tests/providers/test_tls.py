"""The transport over TLS: certificates are checked, and a secured connection behaves as a plain one does."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import httpx2
import pytest
from certificates import needs_openssl, self_signed
from providers.bridge import Bridge

from app.domain.errors import ProviderBroken, ProviderTimeout, ProviderUnreachable
from app.providers.transport import Body, Origin, Transport, default_ssl_context

pytestmark = needs_openssl

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a self-signed certificate for a name, with its key in the same file."""
    return lambda name: self_signed(tmp_path_factory.mktemp("tls"), name)


@contextmanager
def server(certificate: Path, *answers: bytes) -> Iterator[tuple[int, list[int]]]:
    """Serve TLS, one answer a request, after the last silence; its port, and the requests of each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    counts: list[int] = []
    left = list(answers)
    open_sockets: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            open_sockets.append(plain)
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as sock:
                open_sockets.append(sock)
                counts.append(0)
                while sock.recv(65536):
                    counts[-1] += 1
                    if left:
                        sock.sendall(left.pop(0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], counts
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for sock in open_sockets:
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            thread.join()


def closed(sock: ssl.SSLSocket) -> None:
    """Close the connection, and TLS without a word."""
    sock.close()


def only_tls_closed(sock: ssl.SSLSocket) -> None:
    """Say that TLS has ended, and keep the connection open, as a server does that waits for the same from us."""
    sock.settimeout(0.1)
    with suppress(OSError):
        sock.unwrap()


@contextmanager
def records(
    certificate: Path, head: bytes, *pieces: bytes, end: Callable[[ssl.SSLSocket], None] = lambda _: None
) -> Iterator[tuple[Body, Event]]:
    """Ask a server that sends its head, and when that was read each of the pieces as a record of its own, then `end`s.

    Gives the answer's body, and what tells that all was sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    head_read, all_sent, may_close = Event(), Event(), Event()

    def serve() -> None:
        plain, _ = listener.accept()
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as sock:
            sock.recv(65536)
            sock.sendall(head)
            head_read.wait(5)
            for piece in pieces:
                sock.sendall(piece)
            end(sock)
            all_sent.set()
            may_close.wait(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        transport = Transport(ssl.create_default_context(cafile=certificate))
        origin = Origin("https", "127.0.0.1", listener.getsockname()[1])
        _, body = transport.send(
            origin, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", connect_s=5, read_s=5
        )
        try:
            head_read.set()
            yield body, all_sent
        finally:
            may_close.set()
            body.close()
            transport.close()
            thread.join()


def trusting(certificate: Path) -> httpx2.Client:
    """Make a client that trusts this certificate."""
    return httpx2.Client(transport=Bridge(Transport(ssl.create_default_context(cafile=certificate))), timeout=2.0)


@pytest.fixture(scope="module")
def good(certificate: Callable[[str], Path]) -> Path:
    """Make a certificate for this machine."""
    return certificate("IP:127.0.0.1")


def test_an_unknown_certificate_is_refused(good: Path) -> None:
    """A server that nobody vouches for is never sent a request."""
    with (
        server(good, OK) as (port, counts),
        httpx2.Client(transport=Bridge(), timeout=2.0) as client,
        pytest.raises(ProviderUnreachable),
    ):
        client.get(f"https://127.0.0.1:{port}/")
    assert sum(counts) == 0


def test_another_servers_certificate_is_refused(certificate: Callable[[str], Path]) -> None:
    """A certificate that is known, but for another name, is refused too."""
    other = certificate("DNS:api.example.com")
    with server(other, OK) as (port, counts), trusting(other) as client, pytest.raises(ProviderUnreachable):
        client.get(f"https://127.0.0.1:{port}/")
    assert sum(counts) == 0


def test_a_known_certificate_is_accepted(good: Path) -> None:
    """With its authority known a server is talked to, and its connection used again."""
    with server(good, OK, OK) as (port, counts), trusting(good) as client:
        for _ in range(2):
            assert client.get(f"https://127.0.0.1:{port}/").content == b"ok"
        assert counts == [2]


def test_an_authority_of_the_environment(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE names a company's own authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(good))
    transport = Transport(default_ssl_context.__wrapped__())  # as it is made when a server boots
    with server(good, OK) as (port, _), httpx2.Client(transport=Bridge(transport), timeout=2.0) as client:
        assert client.get(f"https://127.0.0.1:{port}/").content == b"ok"


def test_silence_over_tls(good: Path) -> None:
    """Silence is bounded over TLS as well."""
    with server(good) as (port, counts), trusting(good) as client:
        with pytest.raises(ProviderTimeout):
            client.get(f"https://127.0.0.1:{port}/", timeout=httpx2.Timeout(2.0, read=0.2))
        assert counts == [1]


def test_a_handshake_that_is_never_made() -> None:
    """A server that takes the connection and says nothing is ProviderTimeout: TLS is part of connecting."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        httpx2.Client(transport=Bridge(), timeout=0.3) as client,
        pytest.raises(ProviderTimeout),
    ):
        client.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")


def test_a_plain_server_is_no_tls_server() -> None:
    """An answer in plain HTTP to a TLS greeting is ProviderUnreachable."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with httpx2.Client(transport=Bridge(), timeout=2.0) as client, pytest.raises(ProviderUnreachable):
            client.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()


def test_records_that_came_together_are_read_together(good: Path) -> None:
    """TLS gives one record at a time; what has come is one piece all the same, and nothing of it is lost."""
    with records(good, HEAD, *[b"5\r\nword \r\n"] * 9, b"0\r\n\r\n") as (body, all_sent):
        assert all_sent.wait(5)
        assert body.read() == b"word " * 9
        assert body.read() == b""


def test_what_came_before_a_broken_record_is_told_first(good: Path) -> None:
    """Words that came whole are handed on, then what is wrong with the rest is raised."""
    with records(good, HEAD, b"5\r\nword \r\n", b"no size\r\n") as (body, all_sent):
        assert all_sent.wait(5)
        assert body.read() == b"word "
        with pytest.raises(ProviderBroken):
            body.read()


@pytest.mark.parametrize("end", [closed, only_tls_closed])
def test_an_answer_that_is_cut_over_tls(good: Path, end: Callable[[ssl.SSLSocket], None]) -> None:
    """Words that came before the end are handed on, then the end is raised at once, and not taken for silence."""
    with records(good, HEAD, b"5\r\nword \r\n", end=end) as (body, all_sent):
        assert all_sent.wait(5)
        assert body.read() == b"word "
        with pytest.raises(ProviderBroken):
            body.read()

"""The transport over TLS: certificates are checked, and a secured connection behaves as a plain one does."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from certificates import needs_openssl, self_signed
from providers.bridge import Bridge

from app.domain.errors import ProviderTimeout, ProviderUnreachable
from app.providers.transport import Transport, default_ssl_context

pytestmark = needs_openssl

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


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

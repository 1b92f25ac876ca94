"""One TCP connection of a scripted server, with every byte under control.

Every wait watches the socket too, so a client that leaves is noticed at once in every phase: before the headers,
in mid-stream, while paused, and while the kernel takes no more bytes.
"""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple


class ClientGone(Exception):
    """The client closed or reset the connection."""


class ServerClosed(Exception):
    """The test closed the server."""


class Ended(Exception):
    """The script itself ended the connection: the answer is whole as scripted."""


class BadRequest(Exception):
    """What came is not HTTP/1.1."""


class Request(NamedTuple):
    """One HTTP request as it came over the wire; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """The server's end of a connection; `number` names it, from 1 in the order of accepting."""

    def __init__(self, sock: socket.socket, number: int, closing: threading.Event) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = number
        self._sock = sock
        self._closing = closing
        self._received = bytearray()

    def wait(
        self, seconds: float | None = None, *, wake: int | None = None, writable: bool = False, readable: bool = False
    ) -> bool:
        """Wait until `wake` is rung, or the socket takes or gives bytes if asked; False if the time is over first."""
        deadline = None if seconds is None else time.monotonic() + seconds
        had = len(self._received)
        poller = select.poll()
        poller.register(self._sock, select.POLLIN | select.POLLRDHUP | (select.POLLOUT if writable else 0))
        if wake is not None:
            poller.register(wake, select.POLLIN)
        while True:
            left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = dict(poller.poll(left_ms))
            if self._closing.is_set():
                raise ServerClosed
            mask = ready.pop(self._sock.fileno(), 0)
            if mask & ~select.POLLOUT:
                self._take()
            if ready or mask & select.POLLOUT or (readable and len(self._received) > had):
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def wait_for(self, event: threading.Event) -> None:
        """Wait until the test sets the event."""
        with _bell(event) as wake:
            self.wait(wake=wake)

    def send(self, data: bytes) -> None:
        """Hand every byte to the kernel, at once."""
        self.wait(0)  # a client that has left is noticed even while the kernel would still take bytes
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                self.wait(writable=True)
            except OSError:
                raise self._left() from None

    def reset(self) -> None:
        """End the connection with a TCP reset: the client sees ECONNRESET."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    def cut(self) -> None:
        """End the connection in good order for TCP, whatever HTTP still expects."""
        self.close()
        raise Ended

    def hang_up(self) -> None:
        """End every wait of the connection's thread, from another thread."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def read_request(self) -> Request:
        """Wait for the next request, whole; raises ClientGone when the client closes an idle connection."""
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        try:
            method, path, version = first.split(" ")
            headers: dict[str, str] = {}
            for line in lines:
                name, value = line.split(":", 1)
                name, value = name.lower(), value.strip()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            if version != "HTTP/1.1":
                raise BadRequest(version)
            if headers.get("transfer-encoding", "").lower() == "chunked":
                body = self._chunked()
            else:
                body = self._exactly(int(headers.get("content-length", "0")))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return Request(method, path, headers, body)

    def _chunked(self) -> bytes:
        body = bytearray()
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            body += self._exactly(size)
            self._until(b"\r\n")
        while self._until(b"\r\n"):
            pass  # trailers
        return bytes(body)

    def _until(self, mark: bytes) -> bytes:
        while (at := self._received.find(mark)) < 0:
            self.wait(readable=True)
        line = bytes(self._received[:at])
        del self._received[: at + len(mark)]
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self.wait(readable=True)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _take(self) -> None:
        """Read what has come; what comes before its turn is the next request's, and the end of it is the client's."""
        try:
            data = self._sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            raise self._left() from None
        if not data:
            raise self._left()
        self._received += data

    def _left(self) -> Exception:
        return ServerClosed() if self._closing.is_set() else ClientGone()


# poll() cannot wait for a threading.Event. So one thread for each event (however many connections wait for it) waits
# in their place, and rings each through a pipe.
_waiting: dict[threading.Event, set[int]] = {}
_waiting_lock = threading.Lock()


@contextmanager
def _bell(event: threading.Event) -> Iterator[int]:
    """Give a file descriptor that can be read once the event is set."""
    bell, string = os.pipe()
    with _waiting_lock:
        if event not in _waiting:
            _waiting[event] = set()
            threading.Thread(target=_ring, args=(event,), name="upstream-gate", daemon=True).start()
        _waiting[event].add(string)
    try:
        yield bell
    finally:
        with _waiting_lock:
            _waiting.get(event, set()).discard(string)
        os.close(bell)
        os.close(string)


def _ring(event: threading.Event) -> None:
    event.wait()
    with _waiting_lock:
        for string in _waiting.pop(event):
            os.write(string, b"!")

"""A client's connection: it sends a chunk with one system call, and bounds how long a client may take over anything.

Who sends a byte now and then, or takes none of an answer, would hold a greenlet and a place among the connections for
good. A bound costs a timer only where the client has to be waited for: what has come already is read without one.
"""

import contextlib
import errno
import socket
import time
from typing import Any

import gevent
import gevent.socket
from gunicorn.http import errors as http
from msgspec import Struct

from app.domain.errors import RequestTimeout, RequestTooLarge
from app.engine.patience import let_others

MOST_HEAD_BYTES = 16 * 1024
"""Of a request line and its headers, whatever their number. gunicorn looks at all of them anew with each piece."""

FRAMING_BYTES = 64 * 1024
"""What the framing of a body in chunks may add to it."""

BODY_BYTES_PER_S = 64 * 1024
"""A body that comes at least so fast has the time that it needs."""

TAKE_S = 60.0
"""A client that has not taken a piece of an answer for so long is given up."""

SLOW_S = 5.0
"""One that took so long over a piece is not served again on this connection, and makes room where it is needed."""

LINGER_S = 2.0
LINGER_BYTES = 8 * 1024 * 1024
"""How long, and how much, is still taken from a client whose request was refused before it was read."""


class Bounds(Struct, frozen=True):
    """What a client may take, in seconds: until its request begins, over the head, and over the body."""

    idle_s: float
    head_s: float
    body_s: float
    body_bytes: int


class ClientSocket(gevent.socket.socket):  # type: ignore[misc] # gevent has no types
    """A client's socket; the worker says what it waits for by `await_request` and `await_body`."""

    bounds: Bounds
    unread: dict[Any, float]
    """All clients of the worker that have to be waited for, until they take what is sent, each with the time since."""

    is_slow = False
    """Whether it took too long over an answer."""

    timeout: Any
    """gevent's own, in seconds: None outside of the methods that bound something by it."""

    def await_request(self, *, is_first: bool = False) -> None:
        """The next bytes begin a request; the first of a connection has mostly come with it."""
        self._part = "nothing"
        self._is_early = is_first
        self._left = MOST_HEAD_BYTES
        self._until = time.monotonic() + self.bounds.idle_s
        self.has_waited = False

    def await_body(self) -> None:
        """The next bytes are a body's. Its framing counts, which may be longer than what it frames."""
        self._part = "body"
        self._left = self.bounds.body_bytes + FRAMING_BYTES
        self._until = time.monotonic() + self.bounds.body_s
        self._is_first = True

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return what came; b"" if the client has gone, or sent nothing in time to begin with.

        Raises RequestTimeout, or the error for a head or a body that is too long.
        """
        if flags:
            return super().recv(size, flags)  # type: ignore[no-any-return]
        if self._part == "nothing" and not self._is_early:
            return self._took(self._patiently(size))  # to look first, and find nothing, is an exception: 5 us
        try:
            data: bytes = self._sock.recv(size)
        except BlockingIOError:
            return self._took(self._patiently(size))
        if self._part == "body" and not self._is_first:
            let_others()
        return self._took(data)

    def _patiently(self, size: int) -> bytes:
        self.has_waited = True
        try:
            # A time-out of 0 means none at all to gevent.
            self.timeout = max(0.001, self._until - time.monotonic())
            self._wait(self._read_event)
            return super().recv(size)  # type: ignore[no-any-return]
        except TimeoutError:
            if self._part == "nothing":
                return b""
            raise RequestTimeout(detail=f"the {self._part} came too slowly") from None
        finally:
            self.timeout = None

    def _took(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._part == "body":
            self._is_first = False
            self._until += len(data) / BODY_BYTES_PER_S
            if self._left < 0:
                raise RequestTooLarge("The request body is larger than this server takes.")
        elif self._part == "nothing":
            self._part = "head"
            self._until = time.monotonic() + self.bounds.head_s
        elif self._left < 0:
            raise http.LimitRequestHeaders("all of the head")
        return data

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Send all of the data; whatever does not fit into the send buffer at once goes gevent's way.

        gevent's own asks for the size of the send buffer and cuts the data into pieces before each send, which is about
        7 us of the 110 that a chunk costs in all (the benchmark's turn, both variants in turn, on a slow machine).
        """
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._send_patiently(memoryview(data)[sent:], flags)

    def _send_patiently(self, data: memoryview, flags: int) -> None:
        if self.timeout is not None:  # gunicorn's own: it waits for nobody
            super().sendall(data, flags)
            return
        began_at = self.unread[self] = time.monotonic()
        self.timeout = TAKE_S
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise BrokenPipeError(errno.EPIPE, "nobody takes the answer") from None
        finally:
            self.timeout = None
            del self.unread[self]
            self.is_slow = self.is_slow or time.monotonic() - began_at > SLOW_S

    def hang_up(self) -> None:
        """Let whoever waits for this client, to send or to take something, find that it has gone."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def linger(self) -> None:
        """End the answer, and throw away what the client still sends, so that it reads the answer before the end.

        Closed with bytes unread, a connection is reset, and the answer may be lost on its way.
        """
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            left, until = LINGER_BYTES, time.monotonic() + LINGER_S
            while left > 0 and (remaining := until - time.monotonic()) > 0:
                self.timeout = remaining
                data = super().recv(64 * 1024)
                if not data:
                    break
                left -= len(data)
                let_others()

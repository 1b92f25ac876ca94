"""The HTTP/1.1 transport of the providers: pooled connections, bytes handed on as they arrive, no cap on connections.

urllib3 opens and secures the connections, httptools (llhttp) reads the responses (http1.py). CPU of the whole server,
medians of 3 runs of each in turn, on a slow machine of 2 cores, the rest of the server unchanged:

                                                    a turn of 100 chunks    a request
    this module                                     10.2 ms                 1.6 ms
    urllib3's pool and HTTPResponse.read1           12.5 ms                 2.5 ms
    httpx2's own transport (httpcore2)              18.9 ms                 4.2 ms
    a bare Flask relay of the same bytes             6.4 ms                 0.9 ms

A body is read by `Body.read`, which costs one `recv` and one call into llhttp for however many chunks came with it. A
kept connection that the server has closed in the meantime is seen before it is used again; one that closes just as
the request is sent, before a byte of the answer, is replaced by a new one, once.
"""

import contextlib
import functools
import os
import socket
import ssl
import time
from collections import defaultdict, deque
from typing import NamedTuple

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from app.domain.errors import ProviderBroken, ProviderError, ProviderTimeout, ProviderUnreachable
from app.providers.beat import Beat, beat_of
from app.providers.http1 import NoReplyError, Reply, has_come, receive

MAX_IDLE_PER_ORIGIN = 64
MAX_IDLE_S = 60.0
DRAIN_S = 0.05


class Origin(NamedTuple):
    """Where connections may be shared: scheme, host and port."""

    scheme: str
    host: str
    port: int


class Connection:
    """One socket to an origin, and since when it has been idle (seconds of the monotonic clock)."""

    __slots__ = ("idle_since", "origin", "reused", "sock")

    def __init__(self, origin: Origin, sock: socket.socket) -> None:
        self.origin = origin
        self.sock = sock
        self.reused = False
        self.idle_since = 0.0

    def is_stale(self) -> bool:
        """Whether it was idle too long, or the server has closed it or sent something unasked."""
        if time.monotonic() - self.idle_since > MAX_IDLE_S:
            return True
        if not has_come(self.sock.fileno()):
            return False
        self.sock.settimeout(0.0)
        try:
            self.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """Close the socket, whatever state it is in."""
        with contextlib.suppress(OSError):
            self.sock.close()


class Body:
    """The bytes of one response. `read` hands on what has come; `close` gives the connection back or ends it."""

    def __init__(self, transport: "Transport", connection: Connection, reply: Reply) -> None:
        self._transport = transport
        self._connection: Connection | None = connection
        self._reply = reply
        self._beat: Beat | None = None

    def keep_step(self, beat_s: float) -> None:
        """Be read on the beat from now on, with all others that are; see beat.py. No `read_s` bounds the silence then.

        Where the system has no room for it, the body is read as it comes.
        """
        with contextlib.suppress(OSError):
            if self._beat is None and self._connection is not None and (beat := beat_of(beat_s)) is not None:
                beat.join(self._connection.sock.fileno())
                self._beat = beat

    def read(self) -> bytes:
        """Return the bytes that came since the last call, waiting for some; b"" at the end.

        Raises ProviderTimeout, or ProviderBroken where the body breaks off.
        """
        reply = self._reply
        while not reply.pieces:
            if reply.complete or self._connection is None:
                return b""
            sock = self._connection.sock
            if self._beat is not None and reply.is_dry and self._beat.wait(sock.fileno()):
                reply.is_dry = False
            receive(sock, reply)
        data = reply.pieces[0] if len(reply.pieces) == 1 else b"".join(reply.pieces)
        reply.pieces.clear()
        return data

    def drain(self) -> None:
        """Read what little is left after the answer's last event, so that the connection can be used again."""
        if self._connection is not None and not self._reply.complete:
            self._connection.sock.settimeout(DRAIN_S)
            with contextlib.suppress(ProviderError):
                receive(self._connection.sock, self._reply)

    def close(self) -> None:
        """End the call: keep the connection if the response was read whole, else close it. May be called again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._beat is not None:
            self._beat.leave(connection.sock.fileno())
        if self._reply.complete and self._reply.keep_alive:
            self._transport.keep(connection)
        else:
            connection.close()


class Transport:
    """Sends requests. One per provider and process; safe for threads and greenlets."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context or default_ssl_context()
        self._idle: defaultdict[Origin, deque[Connection]] = defaultdict(deque)

    def send(
        self, origin: Origin, wire: bytes, *, connect_s: float | None, read_s: float | None = None
    ) -> "tuple[Reply, Body]":
        """Send a whole request, as bytes, and return when the response's head is there.

        Connecting and sending may take `connect_s` each, and a silence `read_s`. Raises ProviderError.
        """
        connection = self._idle_connection(origin)
        if connection is not None:
            try:
                return self._exchange(connection, wire, connect_s, read_s)
            except NoReplyError:
                pass
        try:
            return self._exchange(self._connect(origin, connect_s), wire, connect_s, read_s)
        except NoReplyError as error:
            raise ProviderBroken(detail="the server closed the connection without an answer") from error

    def keep(self, connection: Connection) -> None:
        """Take back a connection whose response was read whole."""
        idle = self._idle[connection.origin]
        connection.idle_since = time.monotonic()
        idle.append(connection)
        if len(idle) > MAX_IDLE_PER_ORIGIN:
            idle.popleft().close()

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _idle_connection(self, origin: Origin) -> Connection | None:
        idle = self._idle[origin]
        while True:
            try:
                connection = idle.pop()
            except IndexError:  # not asked first: another thread may take the last one
                return None
            if not connection.is_stale():
                connection.reused = True
                return connection
            connection.close()

    def _connect(self, origin: Origin, connect_s: float | None) -> Connection:
        if origin.scheme == "https":
            opener: HTTPConnection = HTTPSConnection(
                origin.host, origin.port, timeout=connect_s, ssl_context=self._ssl_context
            )
        else:
            opener = HTTPConnection(origin.host, origin.port, timeout=connect_s)
        try:
            opener.connect()
        except BaseException as error:
            opener.close()
            failure = _connect_failure(error)
            if failure is None:
                raise
            raise failure from error
        sock, opener.sock = opener.sock, None
        return Connection(origin, sock)

    def _exchange(
        self, connection: Connection, wire: bytes, write_s: float | None, read_s: float | None
    ) -> "tuple[Reply, Body]":
        reply = Reply()
        try:
            _send(connection, wire, write_s)
            connection.sock.settimeout(read_s)
            while not reply.head_complete:
                receive(connection.sock, reply, reused=connection.reused)
        except BaseException:
            connection.close()
            raise
        return reply, Body(self, connection, reply)


def _connect_failure(error: BaseException) -> ProviderError | None:
    # urllib3's NewConnectionError (refused, no such host) is a ConnectTimeoutError by descent alone.
    if isinstance(error, ConnectTimeoutError | TimeoutError) and not isinstance(error, NewConnectionError):
        return ProviderTimeout(detail="connecting took too long")
    if isinstance(error, HTTPError | OSError):
        return ProviderUnreachable(detail=f"no connection: {type(error).__name__}")
    return None


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """Return the context that all share; loading the certificates takes 70 ms or more, which no caller should wait.

    The authorities are those of SSL_CERT_FILE or SSL_CERT_DIR where one is set, else Mozilla's.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return ssl.create_default_context(cafile=file or (None if folder else certifi.where()), capath=folder)


def _send(connection: Connection, wire: bytes, write_s: float | None) -> None:
    connection.sock.settimeout(write_s)
    try:
        sent = connection.sock.send(wire)  # gevent's sendall asks for the size of the send buffer first
        if sent < len(wire):
            connection.sock.sendall(memoryview(wire)[sent:])
    except TimeoutError as error:
        raise ProviderTimeout(detail="the request could not be sent in time") from error
    except OSError as error:
        if connection.reused:
            raise NoReplyError from error
        raise ProviderBroken(detail=f"the request could not be sent: {type(error).__name__}") from error

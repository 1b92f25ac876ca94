"""HTTP/1.1 as it is read from a socket: what llhttp makes of a response, and how a response ends."""

import select
import socket
import ssl
from typing import Any

from gevent import monkey
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from app.domain.errors import ProviderBroken, ProviderTimeout

RECV_BYTES = 65536
MOST_HEADERS = 1000

MOST_RECORDS = 64
"""Of TLS, that are read in a row."""

_poll: Any = monkey.get_original("select", "poll")
"""The kernel's own, which does not wait here: gevent's would let others have a turn."""


class Reply:
    """What llhttp has read of one response; its methods are httptools' callbacks."""

    __slots__ = (
        *("begun", "complete", "has_length", "head_complete", "header_count", "headers"),
        *("failure", "is_dry", "keep_alive", "parser", "pieces", "status"),
    )

    def __init__(self) -> None:
        self.status = 0
        self.header_count = 0
        self.headers: dict[bytes, bytes] = {}
        """By their names in lower case; of several with one name the last."""
        self.pieces: list[bytes] = []
        self.begun = False
        self.is_dry = True
        """Whether nothing more had come when it was read from last."""
        self.failure: ProviderBroken | None = None
        """What is wrong with the rest, where something came before it that is good."""
        self.head_complete = False
        self.complete = False
        self.has_length = False
        """Whether HTTP says where the body ends; without, only the closing connection ends it."""
        self.keep_alive = False
        self.parser = HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; raises ValueError where there is no end of them."""
        self.headers[name.lower()] = value
        self.header_count += 1
        if self.header_count > MOST_HEADERS:
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        """The head is whole, unless it was an interim one (1xx)."""
        self.status = self.parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
        else:
            self.head_complete = True
            self.has_length = not self.headers.keys().isdisjoint({b"content-length", b"transfer-encoding"})

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        """The response is whole, unless it was an interim one; llhttp tells only now whether HTTP lets it be kept."""
        if self.head_complete:
            self.complete = True
            self.keep_alive = self.parser.should_keep_alive()

    def on_message_begin(self) -> None:
        """Stop at what follows a whole response: nobody asked for it."""
        if self.complete:
            raise _Unasked

    def named(self) -> dict[str, str]:
        """Return the headers as text."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers.items()}


class NoReplyError(Exception):
    """A kept connection turned out to be closed: not one byte of an answer came."""


class _Unasked(Exception):
    """Bytes came after the end of the response."""


def receive(sock: socket.socket, reply: Reply, *, reused: bool = False) -> None:
    """Read once from the socket into the reply; raises ProviderError, or NoReplyError on a reused connection."""
    if reply.failure is not None:
        raise reply.failure
    try:
        if reply.is_dry:
            _wait(sock)
        data = sock.recv(RECV_BYTES)
    except TimeoutError as error:
        raise ProviderTimeout(detail="nothing came in time") from error
    except OSError as error:
        if reused and not reply.begun:
            raise NoReplyError from error
        raise ProviderBroken(detail=f"the connection broke: {type(error).__name__}") from error
    if not data:
        _end_at_close(reply, reused=reused)
        return
    _take(data, reply)
    if isinstance(sock, ssl.SSLSocket):
        _take_records(sock, reply)


def _take(data: bytes, reply: Reply) -> None:
    reply.begun = True
    reply.is_dry = len(data) < RECV_BYTES
    try:
        reply.parser.feed_data(data)
    except (HttpParserError, HttpParserUpgrade) as error:
        if reply.complete:
            reply.keep_alive = False
            return
        raise ProviderBroken(detail=f"not HTTP: {type(error).__name__}") from error


def _take_records(sock: ssl.SSLSocket, reply: Reply) -> None:
    """Read what else has come: TLS gives one record at a time, which is mostly one chunk of an answer.

    The end, or what is wrong, is for the next call of `receive`, which then need not wait for anything.
    """
    wait_s = sock.gettimeout()
    sock.settimeout(0.0)
    try:
        for _ in range(MOST_RECORDS):
            if reply.complete or not has_come(sock.fileno()):
                break
            if not (data := sock.recv(RECV_BYTES)):
                reply.is_dry = False  # TLS has ended, though the connection may stay open
                break
            _take(data, reply)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass  # a part of a record
    except OSError as error:
        reply.failure, reply.is_dry = ProviderBroken(detail=f"the connection broke: {type(error).__name__}"), False
    except ProviderBroken as failure:
        reply.failure, reply.is_dry = failure, False
    finally:
        sock.settimeout(wait_s)


def has_come(fileno: int) -> bool:
    """Whether there is something to read, the end or an error; a look by `recv` that finds nothing is an exception."""
    look = _poll()
    look.register(fileno, select.POLLIN)
    return bool(look.poll(0))


def _wait(sock: Any) -> None:
    """Wait until there is something to read, under gevent; other sockets wait while they read.

    gevent's own `recv` looks before it waits, and to find nothing is an exception with a message of the system's:
    16,000 of the 81,000 instructions that a chunk took in all.
    """
    wait = getattr(sock, "_wait", None)
    if wait is not None and not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
        wait(sock._read_event)


def _end_at_close(reply: Reply, *, reused: bool) -> None:
    if reply.head_complete and not reply.has_length:
        reply.complete = True
    elif reused and not reply.begun:
        raise NoReplyError
    else:
        raise ProviderBroken(detail="the connection closed in the middle of the answer")

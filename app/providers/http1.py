"""HTTP/1.1 as it is read from a socket: what llhttp makes of a response, and how a response ends."""

import socket

import httpx2
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

RECV_BYTES = 65536
MOST_HEADERS = 1000


class Reply:
    """What llhttp has read of one response; its methods are httptools' callbacks."""

    __slots__ = ("begun", "complete", "head_complete", "headers", "keep_alive", "parser", "pieces", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.begun = False
        self.head_complete = False
        self.complete = False
        self.keep_alive = False
        self.parser = HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; raises ValueError where there is no end of them."""
        self.headers.append((name, value))
        if len(self.headers) > MOST_HEADERS:
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        """The head is whole, unless it was an interim one (1xx)."""
        self.status = self.parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
        else:
            self.head_complete = True

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

    def ends_at_close(self) -> bool:
        """Whether the body has no length, so that only the closing connection ends it."""
        names = {name.lower() for name, _ in self.headers}
        return not names & {b"content-length", b"transfer-encoding"}


class NoReplyError(Exception):
    """A kept connection turned out to be closed: not one byte of an answer came."""


class _Unasked(Exception):
    """Bytes came after the end of the response."""


def head_of(request: httpx2.Request) -> bytes:
    """Return a request's line and headers, each with its line's end, without the blank line after them."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % (name, value) for name, value in request.headers.raw]
    return b"\r\n".join(lines) + b"\r\n"


def receive(sock: socket.socket, reply: Reply, *, reused: bool = False) -> None:
    """Read once from the socket into the reply, or raise what httpx2 would."""
    try:
        data = sock.recv(RECV_BYTES)
    except TimeoutError as error:
        raise httpx2.ReadTimeout("nothing came in time") from error
    except OSError as error:
        if reused and not reply.begun:
            raise NoReplyError from error
        raise httpx2.ReadError(f"the connection broke: {type(error).__name__}") from error
    if not data:
        _end_at_close(reply, reused=reused)
        return
    reply.begun = True
    try:
        reply.parser.feed_data(data)
    except (HttpParserError, HttpParserUpgrade) as error:
        if reply.complete:
            reply.keep_alive = False
            return
        raise httpx2.RemoteProtocolError(f"not HTTP: {type(error).__name__}") from error


def _end_at_close(reply: Reply, *, reused: bool) -> None:
    if reply.head_complete and reply.ends_at_close():
        reply.complete = True
    elif reused and not reply.begun:
        raise NoReplyError
    else:
        raise httpx2.RemoteProtocolError("the connection closed in the middle of the answer")

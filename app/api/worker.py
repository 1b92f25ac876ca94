"""gunicorn's gevent worker, which answers what never becomes a request in OpenAI's JSON, and drains before it ends.

On SIGTERM the readiness turns 503 at once, within a second no connection is accepted any more, and connections that
nobody uses are closed. Streams in flight go on; those that are still open LAST_WORD_S before the graceful timeout end
with an error event. `gunicorn.conf.py` sets that timeout from the time that the host leaves.
"""

import contextlib
import logging
import socket
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import gevent.socket
import msgspec
from gevent.server import StreamServer
from gunicorn.http import errors as http
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from app.api.sse import error_object
from app.domain.errors import GlottisError, InternalError, InvalidRequest, unforeseen
from app.domain.ports import Resident
from app.engine.turn import Desk
from app.telemetry.logs import log

STATUSES: dict[type[Exception], int] = {
    http.LimitRequestLine: 414,
    http.LimitRequestHeaders: 431,
    http.UnsupportedTransferCoding: 501,
    http.ExpectationFailed: 417,
}
"""What is not named here, and is a fault of the client's, is 400."""


LAST_WORD_S = 3.0
"""Before the graceful timeout: for the streams that are ended to say so."""

DRAIN_STEP_S = 0.25

MOST_ACCEPTED = 8
"""Connections taken in one pass of the loop (gevent: 100). A new turn needs several passes to its first word, and each
is as long as all that is to do in it: 2000 calls within a second made them so long that 800 had no word in 3 s. What is
not taken yet waits in the kernel, in order: all 2000 were answered, and memory grew by half as much. With several
workers gunicorn takes one at a time, so that all get some."""

IDLE_S = 1.0
"""A connection without a request for so long is closed when the worker drains."""


class ClientSocket(gevent.socket.socket):  # type: ignore[misc] # gevent has no types
    """A client's socket that sends a chunk with one system call.

    gevent's own asks for the size of the send buffer and cuts the data into pieces before each send, which is about
    7 us of the 110 that a chunk costs in all (the benchmark's turn, both variants in turn, on a slow machine).
    """

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Send all of the data; whatever does not fit into the send buffer at once goes gevent's way."""
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            super().sendall(memoryview(data)[sent:], flags)


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves as gunicorn's own does, and answers what it cannot parse in our words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_since: dict[Any, float] = {}
        self._connections = 0

    def run(self) -> None:
        """Serve until the end, with what lives beside the turns."""
        if (metrics := self.wsgi.extensions.get("glottis.metrics")) is not None:
            metrics.watch("glottis_connections", lambda: self._connections)
            metrics.start()
        residents: Sequence[Resident] = self.wsgi.extensions["glottis.residents"]
        for resident in residents:
            resident.start()
        StreamServer.max_accept = MOST_ACCEPTED
        try:
            super().run()
        finally:
            for resident in residents:
                resident.stop()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection."""
        if not self.cfg.is_ssl:
            client = ClientSocket(client.family, client.type, fileno=client.detach())
        self._idle_since[client] = time.monotonic()
        self._connections += 1
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections -= 1
            self._idle_since.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve a request."""
        self._idle_since.pop(sock, None)
        super().handle_request(listener_name, req, sock, addr)
        self._idle_since[sock] = time.monotonic()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop when all is said: SIGTERM."""
        is_first = self.alive
        super().handle_exit(sig, frame)
        if is_first:
            gevent.spawn(self._drain)

    def _drain(self) -> None:
        desk: Desk = self.wsgi.extensions["glottis.desk"]
        desk.is_draining = True
        until = time.monotonic() + max(0.0, self.cfg.graceful_timeout - LAST_WORD_S)
        while time.monotonic() < until:
            self._close_idle()
            gevent.sleep(DRAIN_STEP_S)
        ended = desk.end_open_turns()
        log(logging.WARNING if ended else logging.INFO, "drained", ended_turns=ended)
        while True:  # until the worker ends
            self._close_idle()
            gevent.sleep(DRAIN_STEP_S)

    def _close_idle(self) -> None:
        now = time.monotonic()
        for client, since in tuple(self._idle_since.items()):
            if now - since >= IDLE_S:
                with contextlib.suppress(OSError):
                    # Not gevent's own, which raises in the greenlet that waits: it is to read the end, and close.
                    getattr(client, "_sock", client).shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that could not be read, or an exception that left the application, and close."""
        del req, addr
        status, error = _named(exc)
        log(logging.INFO if status < 500 else logging.ERROR, "request_unreadable", status=status, error=error.detail)
        body = msgspec.json.encode(error_object(error))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        )
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with contextlib.suppress(OSError):  # the client may have gone, which is why it could not be read
            write_nonblock(client, head.encode() + body)


def malformed(exc: http.ParseException) -> InvalidRequest:
    """Return the error for a request that is not HTTP as gunicorn understands it, wherever that was noticed."""
    detail = type(exc).__name__
    return InvalidRequest(f"The HTTP request is malformed: {detail}.", code="malformed_http", detail=detail)


def _named(exc: BaseException) -> tuple[int, GlottisError]:
    if isinstance(exc, http.ParseException):
        status = next((status for kind, status in STATUSES.items() if isinstance(exc, kind)), 400)
        return status, malformed(exc)
    if isinstance(exc, Exception):
        error = unforeseen(exc)
        return error.status, error
    return 500, InternalError(detail=type(exc).__name__)

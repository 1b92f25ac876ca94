"""gunicorn's gevent worker, which answers what never becomes a request in OpenAI's JSON, and drains before it ends.

No client holds it: connection.py bounds how long each may take, a connection that waits for its request makes room when
there are too many, and one whose request was refused before its body was read is closed after the answer.

On SIGTERM the readiness turns 503 at once, within a second no connection is accepted any more, and connections that
nobody uses are closed. Streams in flight go on; those that are still open LAST_WORD_S before the graceful timeout end
with an error event. `gunicorn.conf.py` sets that timeout from the time that the host leaves.
"""

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import gevent
import msgspec
from gevent.server import StreamServer
from gunicorn.config import PostRequest, PreRequest
from gunicorn.http import errors as http
from gunicorn.http.parser import RequestParser
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from app.api.body import RequestBody, has_body
from app.api.connection import SLOW_S, Bounds, ClientSocket
from app.api.head import HeadReader, UsualRequest
from app.api.sse import error_object
from app.api.wire import Answer, Environs
from app.domain.errors import GlottisError, InternalError, InvalidRequest, RequestTimeout, unforeseen
from app.domain.ports import Resident
from app.engine.patience import let_others
from app.engine.turn import Desk
from app.telemetry.foreign import ServerLogger
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

SPARE = 16
"""Of all connections that a worker may have, one in so many is left for those that come next."""


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves as gunicorn's own does, and answers what it cannot parse in our words."""

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_since: dict[Any, float] = {}
        self._unread: dict[Any, float] = {}
        self._connections = 0
        self._environs: Environs | None = None
        """None where the operator asks for something that only gunicorn's own way to serve a request does."""

    def load_wsgi(self) -> None:
        """Load the application, and what it says of clients."""
        super().load_wsgi()
        config = self.wsgi.config
        self._bounds = Bounds(
            self.cfg.keepalive, config["HEADER_TIMEOUT_S"], config["BODY_TIMEOUT_S"], config["MAX_CONTENT_LENGTH"]
        )
        RequestParser.mesg_class = HeadReader(self.cfg)
        self._environs = Environs(self.cfg) if _is_plain(self.cfg, self.log) else None
        # To read a number costs the square of its length: 4 MB of long ones, a fifth of a second.
        sys.set_int_max_str_digits(sys.int_info.str_digits_check_threshold)

    def timeout_ctx(self) -> contextlib.AbstractContextManager[Any]:
        """Bound the wait for a request's head as gunicorn does, where the socket does not do it better."""
        return super().timeout_ctx() if self.cfg.is_ssl else contextlib.nullcontext()

    def run(self) -> None:
        """Serve until the end, with what lives beside the turns."""
        if (metrics := self.wsgi.extensions.get("glottis.metrics")) is not None:
            metrics.watch("glottis_connections", lambda: self._connections)
        residents: Sequence[Resident] = self.wsgi.extensions["glottis.residents"]
        for resident in residents:
            resident.start()
        StreamServer.max_accept = MOST_ACCEPTED
        self.wsgi.extensions["glottis.desk"].open()
        try:
            super().run()
        finally:
            for resident in residents:
                resident.stop()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection."""
        self._make_room()
        if not self.cfg.is_ssl:
            client = ClientSocket(client.family, client.type, fileno=client.detach())
            client.bounds, client.unread = self._bounds, self._unread
            client.await_request(is_first=True)
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
        is_plain = isinstance(sock, ClientSocket)
        if is_plain and not sock.has_waited and req.req_number > 1:
            let_others()  # it has sent this one before it heard the answer to the last
        body = RequestBody(req) if has_body(req) else None
        if is_plain and body is not None:
            sock.await_body()
        try:
            if self._environs is not None and type(req) is UsualRequest and type(addr) is type(listener_name) is tuple:
                self._answer(self._environs.of(req, sock, addr, listener_name), Answer(req, sock, self.cfg))
            else:
                super().handle_request(listener_name, req, sock, addr)
        finally:
            if is_plain and body is not None and body.is_unread:
                sock.linger()
        if is_plain:
            if sock.is_slow:
                raise StopIteration  # gunicorn's word for the end of a connection
            sock.await_request()
        self._idle_since[sock] = time.monotonic()

    def _answer(self, environ: dict[str, Any], answer: Answer) -> None:
        """Do what gunicorn's handle_request does, without what an operator might have asked for and has not."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
        if not self.alive or not self.cfg.keepalive:
            answer.force_close()
        try:
            answer.send(self.wsgi(environ, answer.start_response))
        except (OSError, StopIteration):
            raise  # what happens to a connection
        except (Exception, SystemExit) as error:
            if answer.headers_sent:
                self.log.exception("Error handling request")
                answer.sock.hang_up()
                raise StopIteration from None
            if not isinstance(error, SystemExit):
                raise
        except gevent.GreenletExit:
            raise StopIteration from None  # the caller has gone: what they sent ahead has nobody to hear the answer
        else:
            if answer.should_close():
                raise StopIteration

    def notify(self) -> None:
        """Be alive, every second; and end clients that do not take what they asked for, where there is no room left."""
        super().notify()
        if self._is_crowded():
            before = time.monotonic() - SLOW_S
            for client in [client for client, since in self._unread.items() if since < before]:
                client.hang_up()

    def _make_room(self) -> None:
        """End the connection that has waited longest for its request, where there are nearly too many."""
        if self._idle_since and self._is_crowded():
            client = next(iter(self._idle_since))
            del self._idle_since[client]
            _end(client)

    def _is_crowded(self) -> bool:
        return bool(self._connections >= self.worker_connections - self.worker_connections // SPARE)

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
                _end(client)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that could not be read, or an exception that left the application, and close."""
        del req, addr
        status, error = _named(exc)
        log(logging.INFO if status < 500 else logging.ERROR, "request_unreadable", status=status, error=error.detail)
        body = msgspec.json.encode(error_object(error))
        headers = [
            ("Connection", "close"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *self.wsgi.config["SAFE_HEADERS"],
        ]
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers)
        with contextlib.suppress(OSError):  # the client may have gone, which is why it could not be read
            write_nonblock(client, f"{head}\r\n".encode() + body)
        if isinstance(client, ClientSocket) and not isinstance(exc, RequestTimeout):
            client.linger()


def _is_plain(cfg: Any, log: Any) -> bool:
    """Whether nothing is asked for beside an answer: no access log, no hook, no prefix of paths."""
    return not (
        cfg.pre_request is not PreRequest.default
        or cfg.post_request is not PostRequest.default
        or type(log) is not ServerLogger
        or log.access_log_enabled
        or log.error_log.isEnabledFor(logging.DEBUG)  # gunicorn's own hook tells it of each request
        or os.environ.get("SCRIPT_NAME")
    )


def _end(client: Any) -> None:
    """Let the greenlet that waits for this client read the end, and close; gevent's own would raise in it."""
    with contextlib.suppress(OSError):
        getattr(client, "_sock", client).shutdown(socket.SHUT_RD)


def malformed(exc: http.ParseException) -> InvalidRequest:
    """Return the error for a request that is not HTTP as gunicorn understands it, wherever that was noticed."""
    detail = type(exc).__name__
    return InvalidRequest(f"The HTTP request is malformed: {detail}.", code="malformed_http", detail=detail)


def _named(exc: BaseException) -> tuple[int, GlottisError]:
    if isinstance(exc, GlottisError):
        return exc.status, exc
    if isinstance(exc, http.ParseException):
        status = next((status for kind, status in STATUSES.items() if isinstance(exc, kind)), 400)
        return status, malformed(exc)
    if isinstance(exc, Exception):
        error = unforeseen(exc)
        return error.status, error
    return 500, InternalError(detail=type(exc).__name__)

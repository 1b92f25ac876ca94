"""The caller's connection, watched while a turn runs: when it closes, CallerGone is raised in the turn at once.

Under gunicorn a vanished client shows otherwise only at a failing write, usually the second one. A watcher on the
socket costs one epoll registration a request, no greenlet and no timer; what it sees arrives within a millisecond.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent import GreenletExit

from app.domain.errors import CallerGone

TCP_INFO: Any = getattr(socket, "TCP_INFO", None)
TCP_CLOSE, TCP_CLOSE_WAIT = 7, 8
"""States of a connection that the other side has closed; Linux, include/net/tcp_states.h."""

POLL_S = 0.05


class _Gone(CallerGone, GreenletExit):  # type: ignore[misc] # gevent has no types
    """A GreenletExit too, which gunicorn's gevent worker takes as the normal end of a request."""


class CallerWatch:
    """Watches from `start` to `stop`; both may be called in any order and more than once. A domain.ports.Caller."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        sock = environ.get("gunicorn.socket")
        # TLS hides the end of the stream from a peek, and outside gunicorn there is no socket to look at.
        self._socket: socket.socket | None = None if isinstance(sock, ssl.SSLSocket) else sock
        self._watcher: Any = None
        self._greenlet: Any = None
        self._is_gone = False
        self.came_at: float = environ.get("glottis.started_at", 0.0)
        self.gone_at: float | None = None
        self.detained: Callable[[], bool] = _not_detained

    def start(self) -> None:
        """Watch on behalf of the greenlet that calls this."""
        if self._socket is not None and self._watcher is None:
            self._greenlet = gevent.getcurrent()
            self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), 1)
            self._watcher.start(self._readable)

    def stop(self) -> None:
        """Watch no more: nothing is raised after this."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def release(self) -> None:
        """Raise CallerGone if the caller has gone: here, or where their own greenlet waits."""
        if self._is_gone:
            if gevent.getcurrent() is self._greenlet:
                self.gone_at = time.monotonic()
                raise _Gone
            gevent.get_hub().loop.run_callback(self._raise)

    def hang_up(self) -> None:
        """Close the connection, so that a write which nobody takes comes back."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                getattr(self._socket, "_sock", self._socket).shutdown(socket.SHUT_RDWR)

    def _readable(self) -> None:
        # Runs in the hub, which must not block: the look is taken in a greenlet of its own.
        self._watcher.stop()
        gevent.spawn(self._look)

    def _look(self) -> None:
        """Tell the end of the connection from a pipelined request, which is no disconnect."""
        if self._watcher is None or self._socket is None:
            return
        try:
            gone = self._socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            gone = True
        loop = gevent.get_hub().loop
        if gone:
            loop.run_callback(self._raise)
        elif TCP_INFO is not None:
            # Bytes of the next request hide the end of the connection from a peek; the kernel knows it all the same.
            self._watcher.close()
            self._watcher = loop.timer(POLL_S, POLL_S)
            self._watcher.start(self._ask_kernel)

    def _ask_kernel(self) -> None:
        try:
            state = self._socket.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0] if self._socket else TCP_CLOSE
        except OSError:
            state = TCP_CLOSE
        if state in (TCP_CLOSE, TCP_CLOSE_WAIT):
            self._raise()

    def _raise(self) -> None:
        if self._watcher is not None:
            self._is_gone = True
            if not self.detained():
                self.stop()
                self.gone_at = time.monotonic()
                self._greenlet.throw(_Gone())


def _not_detained() -> bool:
    return False

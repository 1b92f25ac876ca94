"""Silence, bounded: one coarse clock for all sockets that wait, instead of a timer for every read.

A timer a read costs 10 us of CPU under gevent, 1 ms for a turn of 100 chunks (measured by the project's benchmark);
this costs two attribute writes a read, and a walk over the open connections every TICK_S.
"""

import contextlib
import os
import socket
import threading
import time

TICK_S = 0.1


class IdleGuard:
    """Wakes a socket that has waited longer than `limit_s`, by shutting it down; `expired` tells that it did.

    The time is coarse: it may take up to TICK_S longer than asked.
    """

    __slots__ = ("_limit_ticks", "_sock", "_ticks", "expired", "waiting")

    def __init__(self, sock: socket.socket, limit_s: float) -> None:
        self._sock = sock
        self._limit_ticks = max(1, round(limit_s / TICK_S))
        self._ticks = 0
        self.waiting = False
        self.expired = False

    def wait(self) -> None:
        """Begin to wait; whoever has waited sets `waiting` to False."""
        self._ticks = 0
        self.waiting = True

    def tick(self) -> None:
        """Let TICK_S pass."""
        if not self.waiting or self.expired:
            return
        self._ticks += 1
        if self._ticks > self._limit_ticks:
            self.expired = True
            # Not SSLSocket's own shutdown, which would take the TLS session away under a reader's feet.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


class _Clock:
    """The one thread of this process that ticks; under gevent it is a greenlet."""

    def __init__(self) -> None:
        self._guards: set[IdleGuard] = set()
        self._thread: threading.Thread | None = None
        self._some = threading.Event()

    def add(self, guard: IdleGuard) -> None:
        self._guards.add(guard)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="idle-clock", daemon=True)
            self._thread.start()
        self._some.set()

    def discard(self, guard: IdleGuard) -> None:
        self._guards.discard(guard)

    def _run(self) -> None:
        while self._some.wait():
            time.sleep(TICK_S)
            for guard in tuple(self._guards):
                guard.tick()
            if not self._guards:
                self._some.clear()
                if self._guards:  # added by another thread between the two
                    self._some.set()

    def forget(self) -> None:
        """Begin anew in a forked process, to which the thread did not come along."""
        self.__init__()  # type: ignore[misc]


clock = _Clock()
os.register_at_fork(after_in_child=clock.forget)

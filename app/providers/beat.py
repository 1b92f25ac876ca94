"""Streams read in step: where a worker reads many answers at once, those whose voice has begun are read on a beat.

An answer is written ten times faster than it is spoken: once the voice has its first words, nobody hears whether the
next come 40 ms later. On a beat, all that came since the last one is read, told and sent together: one wake-up and one
look serve all streams, where each took its own, and what was several chunks is one. A turn of 100 chunks, 50 at once,
costs 4.9 ms of CPU with it and 8.2 without, both in turn on a slow machine; a worker carries more calls by as much.
"""

import select
import sys
import time
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent import getcurrent, monkey

MANY = 8
"""Fewer streams than these are read as they come: a worker with time to spare has nothing to gain."""

_epoll: Any = monkey.get_original("select", "epoll") if sys.platform == "linux" else None
"""The kernel's own, which gevent hides. Other systems have none, and nothing is read in step there."""


class Beat:
    """Wakes the readers of one hub that have something to read, every `beat_s`."""

    def __init__(self, beat_s: float) -> None:
        self._readers: dict[int, Any] = {}
        self._members: set[int] = set()
        self._look = _epoll()
        self._beat_s = beat_s
        self._timer: Any = None

    @property
    def is_still(self) -> bool:
        """Whether there is no next beat: nobody waits for one."""
        return self._timer is None

    def join(self, fileno: int) -> None:
        """Count a socket among those that may be read in step; raises OSError where the system has no room for it."""
        self._look.register(fileno, select.EPOLLIN)
        self._members.add(fileno)

    def leave(self, fileno: int) -> None:
        """It is read no more."""
        self._members.discard(fileno)
        self._look.unregister(fileno)

    def wait(self, fileno: int) -> bool:
        """Wait for the beat at which there is something to read; returns whether it did, which it does among MANY."""
        if len(self._members) < MANY:
            return False
        if self.is_still:
            self._beat_in(self._beat_s)
        self._readers[fileno] = getcurrent()
        try:
            gevent.get_hub().switch()
        finally:
            self._readers.pop(fileno, None)
        return True

    def _beat_in(self, after_s: float) -> None:
        self._timer = gevent.get_hub().loop.timer(after_s)
        # The loop's own time is as old as its last wake-up.
        self._timer.start(self._tick, update=True)

    def _tick(self) -> None:
        """Wake whoever has something to read, all in a row: who speaks goes before who is still to begin.

        Read 16 at a time, with a turn for all between them, 1000 streams fell behind by 0.4 s, and by 0.23 s where
        everybody else had as much time as the reading took (p99 of a chunk's lag; 0.07 s so). Where the reading takes
        longer than a beat, everybody else has one pass of the loop between two.
        """
        began_at = time.monotonic()
        try:
            for fileno, _ in self._look.poll(0, max(1, len(self._members))):
                if (reader := self._readers.get(fileno)) is not None:
                    reader.switch()
        finally:  # whatever one of them raises, the others are still waiting
            self._timer = None  # not before: a reader that waits again would begin the next beat
            if self._readers:
                self._beat_in(max(0.0, began_at + self._beat_s - time.monotonic()))


_beats: WeakKeyDictionary[Any, dict[float, Beat]] = WeakKeyDictionary()


def beat_of(beat_s: float) -> Beat | None:
    """Return the beat that streams of this hub share, in seconds from one to the next; None where there is none."""
    if _epoll is None or not beat_s:
        return None
    beats = _beats.setdefault(gevent.get_hub(), {})
    if beat_s not in beats:
        beats[beat_s] = Beat(beat_s)
    return beats[beat_s]

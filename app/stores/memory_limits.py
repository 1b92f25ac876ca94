"""Limits in the memory of one process: `limits`' own sliding windows, and counters of the turns that run.

20 us of CPU for a request with one limit. Each worker has its own counts, so that all of them together allow as many
times the limit; what is in app/stores/limits.py shares them.
"""

import threading
import time
from collections import Counter
from collections.abc import Sequence

from limits.storage import MemoryStorage

from app.domain.limits import WINDOW_S, Count, Meter, exact, fading

UNBOUNDED = 10**12

TIDY_S = 60.0
"""So often what has expired is forgotten."""


class _Storage(MemoryStorage):
    """`limits`' storage, tidied as it is used: its own timer is a thread for every turn, 0.4 ms under gevent."""

    def __init__(self) -> None:
        super().__init__()
        self.timer.cancel()
        self.timer = _Never(0.0, self.reset)
        self._tidy_at = time.monotonic() + TIDY_S

    def tidy(self) -> None:
        """Forget what has expired, if it is time to."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + TIDY_S
        for key in tuple(self.expirations):
            self.get(key)  # which forgets it if it has expired
        for key, events in tuple(self.events.items()):
            _, used = self.get_moving_window(key, 0, WINDOW_S)
            del events[used:]
            if not used:
                self.clear(key)


class _Never(threading.Timer):
    """A timer that is as good as started, and never comes."""

    def is_alive(self) -> bool:
        return True


class LocalLimits:
    """The limiter of one process; see domain.ports.Limiter."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._made: _Storage | None = None

    @property
    def _storage(self) -> _Storage:
        """Made at the first use, in the worker."""
        if self._made is None:
            made = _Storage()  # others may run meanwhile: the first that is made counts for all
            if self._made is None:
                self._made = made
        return self._made

    def count(self, meters: Sequence[Meter]) -> list[Count]:
        """Count a request; see domain.ports.Limiter."""
        self._storage.tidy()
        return [self._count(meter) for meter in meters]

    def enter(self, meters: Sequence[Meter]) -> str | None:
        """Take a place; see domain.ports.Limiter."""
        bounded = [meter for meter in meters if meter.limits.turns_at_once]
        if any(self._running[meter.name] >= meter.limits.turns_at_once for meter in bounded):
            return None
        self._running.update(meter.name for meter in bounded)
        return "here"

    def leave(self, meters: Sequence[Meter], place: str | None, tokens: int) -> None:
        """Give the place back, and count tokens; see domain.ports.Limiter."""
        for name, limits in meters:
            if place is not None and limits.turns_at_once:
                self._running[name] -= 1
                if not self._running[name]:
                    del self._running[name]
            if tokens and limits.tokens_per_minute:
                self._storage.acquire_sliding_window_entry(f"tokens:{name}", UNBOUNDED, WINDOW_S, tokens)

    def _count(self, meter: Meter) -> Count:
        name, limits = meter
        is_taken, requests, tokens = True, None, None
        if most := limits.requests_per_minute:
            key = f"requests:{name}"
            is_taken = self._storage.acquire_entry(key, most, WINDOW_S)
            began_at, used = self._storage.get_moving_window(key, most, WINDOW_S)
            requests = exact(most, used, time.time() - began_at)
        if limits.tokens_per_minute:
            state = self._storage.get_sliding_window(f"tokens:{name}", WINDOW_S)
            tokens = fading(limits.tokens_per_minute, *state)
        return Count(requests, tokens, is_taken)

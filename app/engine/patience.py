"""How long a turn waits: for the next word, and altogether. One coarse clock ticks for all turns of a process.

A timer for every read would cost 10 us of CPU under gevent, 1 ms for a turn of 100 chunks (measured by the project's
benchmark); this costs three attribute writes an event, and a walk over the open turns every TICK_S.
"""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from gevent import getcurrent

from app.domain.errors import GlottisError, ProviderTimeout, TimeIsUp
from app.domain.events import Event, is_speakable

TICK_S = 0.1
MOST_TICK_S = 0.15
"""What a tick counts at most: when this process is too busy to listen, the silence is not the provider's."""

IN_A_ROW = 16
"""Events that may come without a wait between them; then everybody else has a turn, the clock too. A provider that is
faster than its caller reads would keep the process for itself. An event may hold what 300 chunks brought, 2 ms of work.
"""

LAST_TICKS = 5
"""After an answer's finish, for its usage: half a second."""


def let_others() -> None:
    """Let everybody have a turn before one that need not be waited for, and would have the process for itself.

    Costs 6 us, 3 more than gevent's `sleep(0)`, which looks for what has come from others only every 50th time.
    """
    gevent.sleep(1e-6)


class Patience:
    """Ends the waiting of one turn, in whatever greenlet it waits, by raising an error there.

    Silence counts only while the turn waits for a provider: a caller who is slow to read is not the provider's fault.
    It is coarse: the time may be longer than asked by up to TICK_S.
    """

    __slots__ = ("_clock", "_error", "_greenlet", "_idle_ticks", "_silent_ticks", "_until", "_waiting")

    def __init__(self, idle_s: float, until: float) -> None:
        """Take the longest silence between two speakable events, in seconds, and when all must end (monotonic)."""
        self._idle_ticks = max(1, round(idle_s / TICK_S))
        self._silent_ticks: int | None = None
        self._until = until
        self._greenlet: Any = None
        self._waiting = False
        self._error: GlottisError | None = None
        self._clock = _clock()
        self._clock.add(self)

    def now_s(self) -> float:
        """Return the time for which providers could be heard, in seconds; only differences mean something."""
        return self._clock.now_s()

    @property
    def is_over(self) -> bool:
        """Whether the turn has no more time at all."""
        return self._error is not None

    def __enter__(self) -> None:
        """Wait inside `with`; raises what ends the waiting."""
        self.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._waiting = False
        if isinstance(error, TimeIsUp):
            raise error.error from None

    def wait(self) -> None:
        """Begin to wait, in this greenlet; raises the error if there is one already."""
        if self._error is not None:
            raise self._error
        self._greenlet = getcurrent()
        self._waiting = True

    def over(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield the events of an answer that has begun; raises ProviderTimeout where it falls silent."""
        self._silent_ticks = 0
        count, this_pass, loop = 0, -1, gevent.get_hub().loop
        try:
            with self:
                for event in events:
                    count += 1
                    if count % IN_A_ROW == 0:
                        last_pass, this_pass = this_pass, loop.iteration
                        if this_pass == last_pass:  # nothing of this row had to be waited for
                            let_others()
                    self._waiting = False
                    if is_speakable(event):
                        self._silent_ticks = 0
                    yield event
                    if self._error is not None:  # as `wait` has it; a chunk costs no call more
                        raise self._error
                    self._greenlet = getcurrent()
                    self._waiting = True
        finally:
            self._silent_ticks = None

    def hurry(self) -> None:
        """Wait no longer than LAST_TICKS for what follows."""
        self._idle_ticks = min(self._idle_ticks, LAST_TICKS)

    def end(self, error: GlottisError) -> None:
        """Raise an error where the turn waits, now or as soon as it does."""
        if self._error is None:
            self._error = error
            gevent.get_hub().loop.run_callback(self._raise)

    def close(self) -> None:
        """The turn is over."""
        self._clock.discard(self)
        self._waiting = False
        self._error = self._greenlet = None

    def tick(self, now: float) -> None:
        """Let TICK_S pass; in the hub."""
        if not self._waiting or self._error is not None:
            return
        if now >= self._until:
            self._error = ProviderTimeout(detail="total_s is over")
        elif self._silent_ticks is not None:
            self._silent_ticks += 1
            if self._silent_ticks > self._idle_ticks:
                self._silent_ticks = None
                # Not kept: another attempt may go on.
                self._greenlet.throw(TimeIsUp(ProviderTimeout(detail="silent for idle_s in mid-answer")))
                return
        self._raise()

    def _raise(self) -> None:
        if self._error is not None and self._waiting:
            self._waiting = False
            self._greenlet.throw(TimeIsUp(self._error))


class _Clock:
    """Ticks for the turns of one hub, while there are any."""

    def __init__(self) -> None:
        self._turns: set[Patience] = set()
        self._counted_s = 0.0
        self._ticked_at = 0.0
        self._timer = gevent.get_hub().loop.timer(TICK_S, TICK_S)

    def add(self, turn: Patience) -> None:
        if not self._turns:
            self._ticked_at = time.monotonic()
            # The loop's own time is as old as the last wake-up of whoever begins this turn.
            self._timer.start(self._tick, update=True)
        self._turns.add(turn)

    def discard(self, turn: Patience) -> None:
        self._turns.discard(turn)
        if not self._turns:
            self._timer.stop()

    def now_s(self) -> float:
        return self._counted_s + min(time.monotonic() - self._ticked_at, MOST_TICK_S)

    def _tick(self) -> None:
        now = time.monotonic()
        self._counted_s += min(now - self._ticked_at, MOST_TICK_S)
        self._ticked_at = now
        for turn in tuple(self._turns):
            turn.tick(now)


_clocks: WeakKeyDictionary[Any, _Clock] = WeakKeyDictionary()


def _clock() -> _Clock:
    hub = gevent.get_hub()
    clock = _clocks.get(hub)
    if clock is None:
        clock = _clocks[hub] = _Clock()
    return clock

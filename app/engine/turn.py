"""A turn: one request of the platform, from its coming in to its accounting.

turn = desk.take(request)     returns at commit, or raises the GlottisError that the caller gets as a status
turn.events()                 the answer, from its first event to its usage; raises GlottisError where it breaks off
turn.close()                  always, on every path, as often as one likes: ends the upstream call, and accounts

The order of the work is answer.py's: route, look into the cache, repair, race until a target speaks, relay, go on where
it was cut. Requests that are the same share one answer (inflight.py).
"""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gevent
import msgspec

from app.domain.errors import GlottisError, ProviderTimeout, ServerStopping
from app.domain.events import Event, Finish
from app.domain.ports import Cache, Caller, CostOf, Fleet, Listener, Observer, Provider
from app.domain.request import TurnRequest
from app.engine.account import record_of
from app.engine.answer import Answer, Means
from app.engine.breaker import Breaker
from app.engine.exchange import Exchange
from app.engine.inflight import InFlight, Shared
from app.engine.routing import Router

GRACE_S = 1.0
"""After its time a turn has so long to end by itself, before its connection is closed."""

SWEEP_S = 0.5


class Desk:
    """Takes turns: holds what all of them share, and those that are open."""

    def __init__(
        self,
        router: Router,
        providers: Mapping[str, Provider],
        observers: Sequence[Observer],
        cost_of: CostOf = lambda *_: None,
        listeners: Sequence[Listener] = (),
        cache: Cache | None = None,
        fleet: Fleet | None = None,
    ) -> None:
        self.observers = observers
        self.listeners = listeners
        self.cost_of = cost_of
        self.route_of = router.route_of
        self._has_stopped = False
        self.is_draining = False
        """Whether the server is going to stop: the open turns go on for a while."""
        self._in_flight = InFlight(self.begin)
        breaker = Breaker(fleet=fleet)
        self._exchange = None if fleet is None else Exchange(fleet, self._in_flight.find, breaker)
        self._means = Means(router, providers, breaker, itertools.count(), cache, self._exchange)
        self._open: set[Turn] = set()
        self._sweeper: Any = None

    def take(self, request: TurnRequest, caller: Caller | None = None, observer: Observer | None = None) -> "Turn":
        """Return the turn at its commit; raises GlottisError, or CallerGone, with the turn closed and accounted.

        `observer` hears of this turn alone, beside those who hear of all.
        """
        turn = Turn(request, caller or Anybody(), self, observer)
        self._open.add(turn)
        if self._sweeper is None or self._sweeper.dead:
            self.open()
            self._sweeper = gevent.spawn(self._sweep)
        try:
            if self._has_stopped:
                raise ServerStopping
            turn.begin()
        except BaseException as error:
            turn.close(error)
            raise
        return turn

    def open(self) -> None:
        """Begin to hear of the other workers, in the process that takes the turns; again is fine."""
        if self._exchange is not None:
            self._exchange.open()

    def begin(self, request: TurnRequest, key: bytes | None = None) -> Answer:
        """Return a new answer, nothing of it is done yet; with the key by which it may be shared."""
        return Answer(request, self._means, key)

    def share(self, request: TurnRequest, caller: Caller) -> Shared:
        """Return the answer that this request shares with others that are the same."""
        return self._in_flight.join(request, caller)

    @property
    def open_turns(self) -> int:
        """How many turns are open."""
        return len(self._open)

    def breaker_states(self) -> dict[str, int]:
        """Return the targets that failed lately: see Breaker.states."""
        return self._means.breaker.states()

    def end_open_turns(self) -> int:
        """End the turns that are still open with ServerStopping, and take no more; returns how many there were."""
        self._has_stopped = True
        turns = tuple(self._open)
        for turn in turns:
            turn.end(ServerStopping())
        return len(turns)

    def refuse(self, request: TurnRequest, caller: Caller, error: BaseException) -> None:
        """Tell of a request that ended before it was a turn; `request` has what is known of it."""
        record = record_of(
            request,
            self.begin(request),
            error=error,
            began_at=caller.came_at,
            first_byte_at=None,
            is_heard=False,
            is_last=True,
            accounts=True,
            shares=None,
            caller=caller,
            route=self.route_of(request.model),
            cost_of=self.cost_of,
        )
        for observer in self.observers:
            observer.turn_ended(record)

    def closed(self, turn: "Turn") -> None:
        """Take note that a turn is over."""
        self._open.discard(turn)

    def _sweep(self) -> None:
        """End what has outlived its time, while there are open turns."""
        while self._open:
            gevent.sleep(SWEEP_S)
            now = time.monotonic()
            for turn in [turn for turn in self._open if turn.due_at < now]:
                turn.give_up()


class Turn:
    """One request, and the answer to it, which it may share."""

    def __init__(self, request: TurnRequest, caller: Caller, desk: Desk, observer: Observer | None = None) -> None:
        self.request = request
        self._observer = observer
        self._caller = caller
        self._desk = desk
        self._began_at = time.monotonic()
        # Only who names their conversation may share: two callers who both say hello are not the same.
        self._shared = desk.share(request, caller) if request.conversation_id else None
        self.answer = self._shared.answer if self._shared else desk.begin(request)
        self._events = self._shared.events(caller) if self._shared else self.answer.events
        self._committed_at: float | None = None
        self._is_heard = False
        self._is_closed = False
        self._ends_at = math.inf
        self._reason: GlottisError | None = None
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Wait for the first event."""
        self._first = next(self._events)
        self._committed_at = time.monotonic()
        # As the route completes it; where an answer is shared, the id and the trace are this caller's own.
        completed = self.answer.request
        if self._shared is not None:
            completed = msgspec.structs.replace(
                completed, request_id=self.request.request_id, traceparent=self.request.traceparent
            )
        self.request = completed

    @property
    def due_at(self) -> float:
        """When nothing can be waited for any more (monotonic): what ends the answer in time had its chance by then."""
        return min(self._ends_at, self._began_at + self.answer.request.budget.total_s) + GRACE_S

    def end(self, error: GlottisError) -> None:
        """Let the answer fail with this error, wherever it waits; if it does not, the turn is given up soon."""
        self._ends_at, self._reason = time.monotonic(), error
        self.answer.end(error)

    def give_up(self) -> None:
        """End a turn that does not end by itself: a caller who takes nothing, a function that clings to its call."""
        self._caller.hang_up()
        with contextlib.suppress(Exception):
            self.close(self._reason or ProviderTimeout(detail="total_s is over, and nobody took the answer"))

    def events(self) -> Iterator[Event]:
        """Yield the answer."""
        try:
            yield self._first
            if self._shared is None:
                yield from self._events
            else:
                yield from self._heard(self._events)
        except BaseException as error:
            self._error = error
            raise
        self._is_heard = True

    def _heard(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            self._is_heard = self._is_heard or isinstance(event, Finish)
            yield event

    def close(self, error: BaseException | None = None) -> None:
        """End the upstream call, unless others still hear it, and account for the turn; `error` is what ended it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._error = self._error or error
        self._desk.closed(self)
        is_last = True
        try:
            if self._shared is not None:
                is_last = self._shared.leave(self._caller)
            else:
                self.answer.close()
        finally:  # a provider that fails to close must not go unheard
            self._account(is_last=is_last)

    def _account(self, *, is_last: bool) -> None:
        error, answer = self._error, self.answer
        is_over = is_last or (self._shared is not None and self._shared.over_at is not None)
        first_id = answer.request.request_id
        record = record_of(
            self.request,
            answer,
            error=error,
            began_at=self._began_at,
            first_byte_at=self._committed_at,
            is_heard=self._is_heard or self._shared is None,
            is_last=is_last,
            accounts=is_over and answer.claim_costs(),
            shares=None if first_id == self.request.request_id else first_id,
            caller=self._caller,
            route=self._desk.route_of(self.request.model),
            cost_of=self._desk.cost_of,
        )
        if isinstance(error, GlottisError):
            error.accounted = True
        # Its traceback would keep what the call held, sockets among them, until the next garbage collection.
        self._error = None
        if self._observer is not None:
            self._observer.turn_ended(record)
        for observer in self._desk.observers:
            observer.turn_ended(record)
        for listener in self._desk.listeners:
            listener.turn_said(self.request, answer.tally.text, answer.tally.call_pieces)


class Anybody:
    """A caller who stays to the end."""

    def __init__(self) -> None:
        self.detained: Callable[[], bool] = lambda: False
        self.came_at = time.monotonic()
        self.gone_at: float | None = None

    def release(self) -> None:
        """They do not go."""

    def hang_up(self) -> None:
        """There is no connection."""

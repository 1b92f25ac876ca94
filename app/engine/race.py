"""Attempts, target by target, until one speaks: before that, anything can be replaced without the caller knowing.

What is to happen, and when, stands on an agenda: ask a target, hedge, fill the silence, send the headers.
"""

import heapq
import itertools
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import NamedTuple

from gevent.queue import Empty, SimpleQueue

from app.domain.config import USUAL_FIRST_TOKEN_S, Budget, Target
from app.domain.errors import CallerGone, ProviderError, ProviderTimeout
from app.domain.events import Filler, Pause
from app.domain.ports import Provider
from app.domain.request import TurnRequest
from app.domain.turn import Attempt, Outcome
from app.engine.attempt import LiveAttempt, closed_quietly, wait_for_end
from app.engine.breaker import Breaker
from app.engine.patience import Patience
from app.engine.policy import BLAMELESS, Next, policy_of
from app.engine.tally import estimated_usage

BACK_OFF_S = 0.2
MOST_BACK_OFF_S = 2.0
MOST_IN_WINDOW, WINDOW_S = 4, 3.0
"""A target is not hammered: no more attempts than these in any such time, whatever `retries` says."""

BILLED: set[Outcome] = {"cut", "lost", "left"}
"""An attempt that ended so was at work, and is paid for."""

Run = Generator[Filler | Pause, None, LiveAttempt]


class _Item(NamedTuple):
    """What to do at a time (monotonic seconds); `number` keeps what is due at the same time in order."""

    at: float
    number: int
    action: str
    what: Target | LiveAttempt | None = None


class Race:
    """The attempts of one turn. `run` returns the first that speaks, `go_on` one that continues what was cut.

    Both are generators: meanwhile they yield what fills the silence, if the turn `is_streamed`. They raise the last
    target's ProviderError when none speaks. `past` takes the attempts that are over.
    """

    def __init__(
        self,
        targets: list[Target],
        budget: Budget,
        providers: Mapping[str, Provider],
        breaker: Breaker,
        patience: Patience,
        past: list[Attempt],
        *,
        began_at: float,
        is_streamed: bool,
        filler: Callable[[], str],
    ) -> None:
        self._budget = budget
        self._providers = providers
        self._breaker = breaker
        self._patience = patience
        self._past = past
        self._began_at = began_at
        self._is_streamed = is_streamed
        self._filler = filler
        self._left = breaker.ordered(targets, budget)
        self._asked_at: defaultdict[Target, list[float]] = defaultdict(list)
        self._running: list[LiveAttempt] = []
        self._agenda: list[_Item] = []
        self._numbers = itertools.count()
        self._refusal: BaseException | None = None
        self._arrivals: SimpleQueue[LiveAttempt]

    def run(self, request: TurnRequest) -> Run:
        """Ask the targets in order, until one speaks."""
        self._request = request
        self._arrivals = SimpleQueue()
        if self._is_streamed:
            self._plan("pause", self._budget.headers_after_s)
            if self._budget.filler_after_s:
                for number in range(1, self._budget.filler_max + 1):
                    self._plan("fill", number * self._budget.filler_after_s)
        self._ask(self._left.pop(0))
        return (yield from self._speaker())

    def go_on(self, cut: LiveAttempt, error: ProviderError, request: TurnRequest) -> Run:
        """Replace an attempt that was cut after its first word by one for `request`; raises the error if there is none.

        The caller has heard the answer's beginning, so nothing but the rest may follow.
        """
        self._request = request
        self._arrivals = SimpleQueue()
        self._refusal = None
        self._running.append(cut)
        self._lost(cut, "cut", error)
        if self._is_streamed and self._budget.heartbeat_s:
            self._plan("pause", self._budget.heartbeat_s)
        return (yield from self._speaker())

    def over(self, attempt: LiveAttempt, outcome: Outcome, error: BaseException | None = None) -> None:
        """Take note of an attempt that is over."""
        if attempt.usage is None and outcome in BILLED:
            attempt.usage = estimated_usage(self._request, 0)
        self._past.append(attempt.record(outcome, self._began_at, error))
        if outcome == "answered":
            self._breaker.succeeded(attempt.target)
        elif isinstance(error, ProviderError) and not (isinstance(error, BLAMELESS) or self._patience.is_over):
            self._breaker.failed(attempt.target, self._budget)
        elif attempt.is_probe and attempt.is_mute():
            self._breaker.failed(attempt.target, self._budget)  # or callers who do not wait would keep it in its place
        elif attempt.is_probe:
            self._breaker.left(attempt.target)

    def _speaker(self) -> Run:
        try:
            while True:
                arrived = self._arrival()
                if arrived is None:
                    yield from self._due()
                elif arrived in self._running:  # and not closed in the meantime
                    if arrived.error is None:
                        return self._won(arrived)
                    self._lost(arrived, "failed", arrived.error)
        finally:
            self._agenda.clear()
            del self._arrivals  # a queue is 2 KB, and an answer may be long
            left, self._running = self._running, []
            for attempt in left:
                closed_quietly(attempt)
            if isinstance(sys.exception(), CallerGone):  # nobody waits any more, and how long it took is to be true
                wait_for_end(left)
            for attempt in left:
                self.over(attempt, "left")

    def _arrival(self) -> LiveAttempt | None:
        """Wait for an attempt that speaks or fails, until something else is due."""
        now, now_s = time.monotonic(), self._patience.now_s()
        waits_s = [attempt.deadline_s - now_s for attempt in self._running]
        waits_s += [item.at - now for item in self._agenda[:1]]
        arrived: LiveAttempt | None = None
        try:
            with self._patience:
                arrived = self._arrivals.get(timeout=max(0.0, min(waits_s)))
        except Empty:
            pass  # something else is due
        return arrived

    def _due(self) -> Iterator[Filler | Pause]:
        """Do what is due, and yield what there is to say of it."""
        now, now_s = time.monotonic(), self._patience.now_s()
        for attempt in [attempt for attempt in self._running if attempt.deadline_s <= now_s]:
            closed_quietly(attempt)
            attempt.usage = estimated_usage(self._request, 0)  # it was at work
            self._lost(attempt, "failed", ProviderTimeout(detail="no word within first_token_s"))
        while self._agenda and self._agenda[0].at <= now:
            item = heapq.heappop(self._agenda)
            match item.action:
                case "ask" if isinstance(item.what, Target):
                    self._ask(item.what)
                case "hedge" if self._left and item.what in self._running:
                    self._ask(self._left.pop(0))
                case "fill":
                    self._plan_pause()
                    yield Filler(self._filler())
                case "pause":
                    self._plan_pause()
                    yield Pause()

    def _ask(self, target: Target) -> None:
        provider = self._providers[target.provider]
        first_token_s = (
            self._budget.first_token_s or provider.first_token_s(self._request, target.model) or USUAL_FIRST_TOKEN_S
        )
        is_probe = self._breaker.asked(target, self._budget)
        deadline_s = self._patience.now_s() + first_token_s
        attempt = LiveAttempt(target, provider, self._request, self._arrivals, deadline_s)
        attempt.is_probe = is_probe
        self._asked_at[target].append(attempt.began_at)
        self._running.append(attempt)
        if self._budget.hedge_after_s:
            self._plan("hedge", self._budget.hedge_after_s, attempt)

    def _won(self, winner: LiveAttempt) -> LiveAttempt:
        self._running.remove(winner)
        for loser in self._running:
            closed_quietly(loser)
            self.over(loser, "lost")
            self._left.append(loser.target)  # it may still go on, where the winner is cut
        self._running.clear()
        return winner

    def _lost(self, attempt: LiveAttempt, outcome: Outcome, error: BaseException) -> None:
        """Replace an attempt that failed; raises its error where the request is at fault, or nobody is left."""
        self._running.remove(attempt)
        self.over(attempt, outcome, error)
        attempt.error = None  # its traceback holds what the call held
        policy = policy_of(error)
        if outcome == "cut" and not self._left and isinstance(error, ProviderTimeout):
            policy = Next.AGAIN  # it fell silent after its first word, and there is no other
        if policy is Next.NONE:
            # Who is at work already may still speak; nobody else is asked.
            self._refusal = error
            self._left.clear()
            self._unplan("ask")
        delay_s = self._delay_s(attempt.target, error) if policy is Next.AGAIN and not self._refusal else None
        if delay_s is not None:
            self._plan("ask", delay_s, attempt.target)
        elif self._left:
            self._ask(self._left.pop(0))
        elif not self._running and not any(item.action == "ask" for item in self._agenda):
            raise self._refusal or error

    def _delay_s(self, target: Target, error: BaseException) -> float | None:
        """Return how long to wait before this target is asked again, in seconds; None if it is not."""
        asked_at = self._asked_at[target]
        tries = len(asked_at)
        if tries > self._budget.retries:
            return None
        delay_s = min(BACK_OFF_S * 2.0 ** (tries - 1), MOST_BACK_OFF_S) * random.uniform(0.5, 1.0)  # noqa: S311
        if retry_after_s := getattr(error, "retry_after_s", None):
            if retry_after_s > self._budget.retry_after_max_s:
                return None
            delay_s = max(delay_s, retry_after_s)
        if tries >= MOST_IN_WINDOW:
            delay_s = max(delay_s, asked_at[-MOST_IN_WINDOW] + WINDOW_S - time.monotonic())
        return delay_s

    def _plan(self, action: str, after_s: float, what: Target | LiveAttempt | None = None) -> None:
        heapq.heappush(self._agenda, _Item(time.monotonic() + after_s, next(self._numbers), action, what))

    def _unplan(self, action: str) -> None:
        self._agenda = [item for item in self._agenda if item.action != action]
        heapq.heapify(self._agenda)

    def _plan_pause(self) -> None:
        """Begin to count the silence anew: the headers are out, and whatever keeps the connection open is as well."""
        self._unplan("pause")
        if self._budget.heartbeat_s:
            self._plan("pause", self._budget.heartbeat_s)

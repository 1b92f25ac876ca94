"""The breaker: a target that fails again and again is asked last for a while, then by one turn to see if it is back.

Each worker keeps in its own memory what is known, and a turn asks nobody else. What changes is told to the others of a
store, if there is one, so that all know the same a moment later: failures in a row are counted over all of them. Only
the turn that is to probe a target asks the store first, whether it is the one.
"""

import time
from collections.abc import Callable, Sequence

from app.domain.config import Budget, Target
from app.domain.ports import Fleet
from app.engine.messages import Cleared, Failed, Known, Message, Probed, encode

MOST_TARGETS = 1024
"""Callers may name any model of a provider."""


class _State:
    __slots__ = ("failures", "open_until", "probed_until")

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0
        self.probed_until = 0.0


class Breaker:
    """What this process knows of the targets that failed lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, fleet: Fleet | None = None) -> None:
        self._clock = clock
        self._fleet = fleet
        self._states: dict[Target, _State] = {}

    def ordered(self, targets: Sequence[Target], budget: Budget) -> list[Target]:
        """Return the targets in the order to ask them: those that are open come last, the least bad of them first.

        The first is asked at once; where that is a probe, no other worker does the same.
        """
        if not self._states:
            return list(targets)
        order = self._sorted(targets, budget)
        while self._is_half_open(order[0], budget) and not self._may_probe(order[0], budget):
            order = self._sorted(targets, budget)
        return order

    def asked(self, target: Target, budget: Budget) -> bool:
        """A turn asks this target: whether it is the probe of one that is half open, which others leave alone then."""
        state = self._states.get(target)
        if state is not None and state.failures >= budget.cooldown_after:
            now = self._clock()
            if now >= state.open_until:
                state.probed_until = now + budget.cooldown_s
                if self._fleet:
                    self._fleet.tell_all(encode(Probed(self._fleet.name, target, budget.cooldown_s)))
                return True
        return False

    def failed(self, target: Target, budget: Budget) -> None:
        """It failed."""
        self._note_failure(target, budget.cooldown_after, budget.cooldown_s)
        if self._fleet:
            self._fleet.tell_all(encode(Failed(self._fleet.name, target, budget.cooldown_after, budget.cooldown_s)))

    def succeeded(self, target: Target) -> None:
        """It answered: all is forgiven."""
        if self._states.pop(target, None) is not None:
            self._cleared(target, is_well=True)

    def left(self, target: Target) -> None:
        """Its probe was left before one could tell: the next turn may probe."""
        state = self._states.get(target)
        if state is not None:
            state.probed_until = 0.0
            self._cleared(target, is_well=False)

    def hear(self, news: Message) -> None:
        """Take note of what another worker tells."""
        if self._fleet is None or getattr(news, "worker", "") == self._fleet.name:
            return
        match news:
            case Failed():
                self._note_failure(news.target, news.cooldown_after, news.cooldown_s)
            case Probed():
                self._state(news.target).probed_until = self._clock() + news.for_s
            case Cleared(is_well=True):
                self._states.pop(news.target, None)
            case Cleared():
                self._state(news.target).probed_until = 0.0
            case Known():
                state, now = self._state(news.target), self._clock()
                state.failures = max(state.failures, news.failures)
                state.open_until = max(state.open_until, now + news.open_s)
                state.probed_until = max(state.probed_until, now + news.probed_s)

    def known(self) -> list[Known]:
        """Return what there is to tell to a worker that knows nothing."""
        now = self._clock()
        return [
            Known(target, state.failures, max(0.0, state.open_until - now), max(0.0, state.probed_until - now))
            for target, state in self._states.items()
        ]

    def _note_failure(self, target: Target, cooldown_after: int, cooldown_s: float) -> None:
        state = self._state(target)
        state.failures += 1
        state.probed_until = 0.0
        if state.failures >= cooldown_after:
            state.open_until = self._clock() + cooldown_s

    def _state(self, target: Target) -> _State:
        state = self._states.get(target)
        if state is None:
            state = self._states[target] = _State()
            if len(self._states) > MOST_TARGETS:
                del self._states[next(iter(self._states))]
        return state

    def _cleared(self, target: Target, *, is_well: bool) -> None:
        if self._fleet:
            self._fleet.release(_probe_of(target))
            self._fleet.tell_all(encode(Cleared(self._fleet.name, target, is_well)))

    def _may_probe(self, target: Target, budget: Budget) -> bool:
        """Whether this worker is the one to probe; if not, the target is left alone until that one is heard of."""
        if self._fleet is None or self._fleet.claim(_probe_of(target), budget.cooldown_s) == self._fleet.name:
            return True
        if state := self._states.get(target):
            state.probed_until = self._clock() + budget.cooldown_s
        return False

    def _is_half_open(self, target: Target, budget: Budget) -> bool:
        state = self._states.get(target)
        is_known_bad = state is not None and state.failures >= budget.cooldown_after
        return is_known_bad and budget.cooldown_s > 0 and self._wait(target, budget, self._clock()) == 0

    def _sorted(self, targets: Sequence[Target], budget: Budget) -> list[Target]:
        now = self._clock()
        waits = {target: self._wait(target, budget, now) for target in targets}
        return sorted(targets, key=lambda target: waits[target])

    def states(self) -> dict[str, int]:
        """Return the targets that failed lately: 0 if asked as usual, 1 half open, 2 open."""
        now = self._clock()
        return {str(target): _state_at(state, now) for target, state in self._states.items()}

    def _wait(self, target: Target, budget: Budget, now: float) -> float:
        """Return how long a target is to be left alone, in seconds; 0 if it may be asked."""
        state = self._states.get(target)
        if state is None or state.failures < budget.cooldown_after:
            return 0.0
        return max(state.open_until - now, state.probed_until - now, 0.0)


def _probe_of(target: Target) -> str:
    return f"probe:{target}"


def _state_at(state: _State, now: float) -> int:
    if state.open_until == 0.0:
        return 0
    return 2 if now < state.open_until else 1

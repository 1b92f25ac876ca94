"""The breaker: a target that fails again and again is asked last for a while, then by one turn to see if it is back.

In the memory of one process: every worker learns for itself.
"""

import time
from collections.abc import Callable, Sequence

from app.domain.config import Budget, Target

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

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[Target, _State] = {}

    def ordered(self, targets: Sequence[Target], budget: Budget) -> list[Target]:
        """Return the targets in the order to ask them: those that are open come last, the least bad of them first."""
        if not self._states:
            return list(targets)
        now = self._clock()
        waits = {target: self._wait(target, budget, now) for target in targets}
        return sorted(targets, key=lambda target: waits[target])

    def asked(self, target: Target, budget: Budget) -> bool:
        """A turn asks this target: whether it is the probe of one that is half open, which others leave alone then."""
        state = self._states.get(target)
        if state is not None and state.failures >= budget.cooldown_after:
            now = self._clock()
            if now >= state.open_until:
                state.probed_until = now + budget.cooldown_s
                return True
        return False

    def failed(self, target: Target, budget: Budget) -> None:
        """It failed."""
        state = self._states.setdefault(target, _State())
        state.failures += 1
        state.probed_until = 0.0
        if state.failures >= budget.cooldown_after:
            state.open_until = self._clock() + budget.cooldown_s
        if len(self._states) > MOST_TARGETS:
            del self._states[next(iter(self._states))]

    def succeeded(self, target: Target) -> None:
        """It answered: all is forgiven."""
        self._states.pop(target, None)

    def left(self, target: Target) -> None:
        """Its probe was left before one could tell: the next turn may probe."""
        state = self._states.get(target)
        if state is not None:
            state.probed_until = 0.0

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


def _state_at(state: _State, now: float) -> int:
    if state.open_until == 0.0:
        return 0
    return 2 if now < state.open_until else 1

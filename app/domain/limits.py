"""How often a key may call: what an operator allows, and how much of it is used in the sliding window."""

import math
from typing import NamedTuple

from msgspec import Struct

WINDOW_S = 60

MARGIN_S = 0.001
"""Past the moment at which there is room again: at that very moment there is none yet."""


class Limits(Struct, frozen=True, kw_only=True):
    """A `[defaults.limits]` or `[routes.NAME.limits]` table; 0 is no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    turns_at_once: int = 0

    def __bool__(self) -> bool:
        return bool(self.requests_per_minute or self.tokens_per_minute or self.turns_at_once)


class Meter(NamedTuple):
    """What one caller uses, of all that they may or on one route: a name for it, and its limits."""

    name: str
    limits: Limits


class Window(NamedTuple):
    """What was used of a limit, seen from now: as `limits` keeps it, in the fixed window that runs and the one before.

    The one before counts for as much of it as still lies within the last WINDOW_S, as if its uses had come evenly.
    """

    limit: int
    before: int
    before_ends_s: float
    """Until the one before counts no more, in seconds."""
    running: int
    running_ends_s: float
    """Until the running one will count no more: it runs out WINDOW_S earlier."""

    @property
    def remaining(self) -> int:
        """How much is left."""
        used = math.floor(self.before * self.before_ends_s / WINDOW_S) + self.running
        return max(0, self.limit - used)

    @property
    def reset_s(self) -> float:
        """Seconds until all of it is there again, if nothing more is used."""
        if self.running:
            return self.running_ends_s
        return self.before_ends_s if self.before else 0.0

    @property
    def wait_s(self) -> float:
        """Seconds until one more is allowed."""
        if self.remaining:
            return 0.0
        if self.running < self.limit:
            return self.before_ends_s - (self.limit - self.running) * WINDOW_S / self.before + MARGIN_S
        return self.running_ends_s - self.limit * WINDOW_S / self.running + MARGIN_S


class Count(NamedTuple):
    """What a meter says when a request is counted: its windows, None for what has no limit."""

    requests: Window | None
    tokens: Window | None
    is_taken: bool
    """Whether there was room for the request, and it is in the window."""

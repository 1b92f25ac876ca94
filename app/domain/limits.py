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
    """A limit and what is left of it, and in how many seconds all of it is back, and one more is allowed."""

    limit: int
    remaining: int
    reset_s: float
    wait_s: float


def exact(limit: int, used: int, oldest_s: float) -> Window:
    """Return the window of a limit whose every use is known: how many there were, and how long ago the oldest was."""
    remaining = max(0, limit - used)
    wait_s = 0.0 if remaining else max(0.0, WINDOW_S - oldest_s) + MARGIN_S
    return Window(limit, remaining, WINDOW_S if used else 0.0, wait_s)


def fading(limit: int, before: int, before_ends_s: float, running: int, running_ends_s: float) -> Window:
    """Return the window of a limit whose uses are known by the minute: of the one before, and of the running one.

    The one before counts for as much of it as still lies within the last WINDOW_S, as if its uses had come evenly, and
    ends in `before_ends_s`; the running one will have ended, after it has been the one before, in `running_ends_s`.
    """
    remaining = max(0, limit - math.floor(before * before_ends_s / WINDOW_S) - running)
    if remaining:
        wait_s = 0.0
    elif running < limit:
        wait_s = before_ends_s - (limit - running) * WINDOW_S / before + MARGIN_S
    else:
        wait_s = running_ends_s - limit * WINDOW_S / running + MARGIN_S
    reset_s = running_ends_s if running else before_ends_s if before else 0.0
    return Window(limit, remaining, reset_s, wait_s)


class Count(NamedTuple):
    """What a meter says when a request is counted: its windows, None for what has no limit."""

    requests: Window | None
    tokens: Window | None
    is_taken: bool
    """Whether there was room for the request, and it is in the window."""

"""The record of a turn: all that is told of it when it ends, to whoever observes; never what was said."""

from typing import Literal

from msgspec import Struct

from app.domain.events import Usage

End = Literal[
    "completed",
    "length",
    "refused",
    "caller_gone",
    "provider_error",
    "provider_timeout",
    "invalid_request",
    "drained",
    "internal",
]

Outcome = Literal["answered", "failed", "cut", "lost", "left"]
"""An attempt's: `cut` after its first word, `lost` to a faster one, `left` by the caller."""


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One upstream call: its target as `provider/model`, when it began and how long it took, and how it went.

    `began_ms` counts from the turn's start. `usage` is what it cost as far as is known, else an estimate.
    """

    target: str
    began_ms: float
    duration_ms: float
    outcome: Outcome
    error: str | None = None
    upstream_status: int | None = None
    usage: Usage | None = None


class TurnRecord(Struct, frozen=True, kw_only=True):
    """One line of the log: enough to say why a caller heard nothing. Times are milliseconds from the turn's start."""

    request_id: str
    conversation_id: str | None
    model: str
    stream: bool
    end: End
    status: int
    target: str | None
    attempts: list[Attempt]
    error: str | None
    first_speakable_ms: float | None
    total_ms: float
    text_chars: int
    tool_calls: int
    finish_reason: str | None
    usage: Usage | None
    resumes: int = 0
    fillers: int = 0
    apologised: bool = False
    shares: str | None = None
    """The request id of the turn whose answer this one shared. Of them all only one line has `usage`."""

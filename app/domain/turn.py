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
    "internal",
]


class Attempt(Struct, frozen=True):
    """One upstream call: its target as `provider/model`, how long it took, and why it failed, if it did."""

    target: str
    duration_ms: float
    error: str | None = None
    upstream_status: int | None = None


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

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
    "limit",
    "invalid_request",
    "drained",
    "internal",
]

Outcome = Literal["answered", "failed", "cut", "lost", "left"]
"""An attempt's: `cut` after its first word, `lost` to a faster one, `left` by the caller."""


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One upstream call: its target as `provider/model`, when it began and how long it took, and how it went.

    `began_ms` counts from the turn's start: less than 0 where the turn shares a call that was under way. `usage` is
    what it cost as far as is known, else an estimate. `response_model` is the provider's own name for the model, where
    that is another one than the target's.
    """

    target: str
    began_ms: float
    duration_ms: float
    outcome: Outcome
    error: str | None = None
    upstream_status: int | None = None
    usage: Usage | None = None
    response_model: str | None = None


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
    began_at: float = 0.0
    """When the request came, in Unix seconds."""
    key: str | None = None
    """The name of the caller's key, never the key; None for anonymous use."""
    route: str | None = None
    """The `[routes.NAME]` that the model's name found; None where no route has that name."""
    first_byte_ms: float | None = None
    """To the first byte of the answer's body that left: a filler, a heartbeat, or words."""
    first_sentence_ms: float | None = None
    """To the end of the first sentence, which is when the platform begins to speak."""
    largest_gap_ms: float | None = None
    """The longest silence between two speakable events."""
    overhead_ms: float | None = None
    """From the request's coming to the beginning of the first upstream call: what is Glottis' own."""
    cancel_ms: float | None = None
    """From the caller's going to the end of the last upstream call."""
    cost_usd: float | None = None
    """By the list prices of the models that answered; None where a price is not known."""
    cache: Literal["hit", "miss"] | None = None
    """Whether the answer cache had it; None where it was not asked."""
    traceparent: str | None = None
    """The header of that name: the caller's place in their own trace."""

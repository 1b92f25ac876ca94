"""What an operator decides: providers, routes and budgets, as glottis.toml has them."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from app.domain.limits import Limits

USUAL_FIRST_TOKEN_S = 3.0
"""To the first word, of a model that does not think before it speaks."""


class Secret(str):
    """A key, or an address with a password in it: used like any text, but no `repr` of what holds it shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Budget(Struct, frozen=True, kw_only=True):
    """How much silence a turn may have, and what is done about it. docs/voice.md says how the figures add up.

    Speakable is what a caller can hear, or what acts: headers, pings, empty and reasoning deltas are silence.
    """

    connect_s: float = 2.0
    first_token_s: float | None = None
    """From an attempt's beginning to its first speakable event; None: what the model needs, or USUAL_FIRST_TOKEN_S."""
    idle_s: float = 4.0
    """Between two speakable events."""
    total_s: float = 120.0
    retries: int = 1
    """Per target and turn."""
    retry_after_max_s: float = 0.5
    hedge_after_s: float = 0.0
    filler_after_s: float = 0.0
    filler: tuple[str, ...] = ("Hmm, one moment... ",)
    filler_max: int = 1
    resume: bool = True
    apology: str = ""
    cooldown_s: float = 10.0
    cooldown_after: int = 3
    heartbeat_s: float = 0.0
    headers_after_s: float = 25.0
    """A streamed answer that has not begun by then sends its headers all the same."""
    beat_s: float = 0.04
    """Among many others, an answer whose voice has begun is read every so often; 0: as it comes."""


class Vendor(Struct, frozen=True):
    """A `[providers.NAME]` table: a server that speaks OpenAI's or Anthropic's API, and our key there."""

    kind: Literal["openai", "anthropic"]
    base_url: str | None = None
    api_key_env: str | None = None
    api_key: Secret | None = None


class Target(Struct, frozen=True):
    """One provider and one of its models."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Route(Struct, frozen=True):
    """A `[routes.NAME]` table: the targets, the first is primary, and defaults for a request's parameters.

    `prompt_caching` lets Anthropic cache what repeats; `reasoning_content` shows the caller the model's thinking.
    `cache_ttl_s` is how long the answer cache keeps an answer, seconds; 0 is no cache. It keeps those at temperature 0,
    or with `cache_any_temperature` all. `limits` are a key's on this route, beside those that it has altogether.
    """

    targets: list[Target]
    params: Mapping[str, Any] = {}
    prompt_caching: bool = True
    reasoning_content: bool = False
    cache_ttl_s: float = 0.0
    cache_any_temperature: bool = False
    budget: Budget = Budget()
    limits: Limits = Limits()

"""What an operator decides: providers, routes and budgets, as glottis.toml has them."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct


class Budget(Struct, frozen=True):
    """How long an upstream call may take: to connect, and to be silent afterwards; seconds."""

    connect_s: float = 2.0
    idle_s: float = 10.0


class Vendor(Struct, frozen=True):
    """A `[providers.NAME]` table: a server that speaks OpenAI's or Anthropic's API, and our key there."""

    kind: Literal["openai", "anthropic"]
    base_url: str | None = None
    api_key_env: str | None = None
    api_key: str | None = None


class Target(Struct, frozen=True):
    """One provider and one of its models."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class Route(Struct, frozen=True):
    """A `[routes.NAME]` table: the targets, the first is primary, and defaults for a request's parameters.

    `prompt_caching` lets Anthropic cache what repeats; `reasoning_content` shows the caller the model's thinking.
    """

    targets: list[Target]
    params: Mapping[str, Any] = {}
    prompt_caching: bool = True
    reasoning_content: bool = False

"""What differs between Claude models: models.toml, read once."""

from pathlib import Path
from typing import Literal

import msgspec

from app.providers.facts import lookup


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of models.toml; its head explains the fields."""

    prefix: str
    thinking_off: Literal["", "disabled", "effort"]
    efforts: list[str]
    prefill: bool
    forced_tool: bool
    structured: bool
    max_tokens: int
    cache_min_tokens: int


facts_of = lookup(Path(__file__).parent / "models.toml", ModelFacts)

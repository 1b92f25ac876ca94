"""What differs between OpenAI's models: models.toml, read once."""

from pathlib import Path
from typing import Literal

import msgspec

from app.providers.facts import lookup


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of models.toml; its head explains the fields."""

    prefix: str
    efforts: list[str]
    quiet: bool
    sampling: Literal["free", "without_effort", "never"]
    tools_with_effort: bool


facts_of = lookup(Path(__file__).parent / "models.toml", ModelFacts)

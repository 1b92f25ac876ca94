"""What differs between OpenAI's models: models.toml, read once."""

import functools
from pathlib import Path
from typing import Literal

import msgspec


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of models.toml; its head explains the fields."""

    prefix: str
    efforts: list[str]
    quiet: bool
    sampling: Literal["free", "without_effort", "never"]
    tools_with_effort: bool


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: list[ModelFacts]


_ROWS = sorted(
    msgspec.toml.decode((Path(__file__).parent / "models.toml").read_bytes(), type=_Table).model,
    key=lambda row: len(row.prefix),
    reverse=True,
)


@functools.lru_cache(maxsize=256)
def facts_of(model: str) -> ModelFacts:
    """Return the row with the longest prefix of this model's name; the first row fits every name."""
    return next(row for row in _ROWS if model.startswith(row.prefix))

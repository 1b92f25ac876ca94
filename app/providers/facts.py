"""Tables of what differs between a vendor's models: a models.toml, read once, found by a model's name."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec


class Row(Protocol):
    """A row of such a table."""

    @property
    def prefix(self) -> str:
        """What the names of its models begin with; "" fits every name."""
        ...


R = TypeVar("R", bound=Row)


def lookup(table: Path, row: type[R]) -> Callable[[str], R]:
    """Return what finds the row with the longest prefix of a model's name; raises ValidationError for a bad table."""
    rows: list[R] = msgspec.convert(msgspec.toml.decode(table.read_bytes())["model"], list[row])  # type: ignore[valid-type]
    rows.sort(key=lambda each: len(each.prefix), reverse=True)

    @functools.lru_cache(maxsize=256)
    def facts_of(model: str) -> R:
        return next(each for each in rows if model.startswith(each.prefix))

    return facts_of

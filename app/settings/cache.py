"""How much the answer cache may hold in memory; which routes have one stands in glottis.toml."""

from typing import Any

from environs import Env
from marshmallow import validate
from msgspec import Struct


class CacheSettings(Struct, frozen=True):
    """Bounds of each worker's memory; with a store they have no effect."""

    max_entries: int
    max_bytes: int


def read(env: Env) -> dict[str, Any]:
    """Return the settings of the answer cache."""
    settings = CacheSettings(
        max_entries=env.int("CACHE_MAX_ENTRIES", 10_000, validate=validate.Range(min=1)),
        max_bytes=env.int("CACHE_MAX_BYTES", 16 * 1024 * 1024, validate=validate.Range(min=1024)),
    )
    return {"cache": settings}

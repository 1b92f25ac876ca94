"""The answer cache in Valkey: what one worker has heard, all may say. A round trip to read, and one to write."""

import contextlib

from app.domain.errors import StoreDown
from app.stores.valkey import Valkey

PREFIX = "glottis:"


class ValkeyCache:
    """A domain.ports.Cache, bounded by the store's own `maxmemory`; while the store is down it holds nothing."""

    def __init__(self, store: Valkey) -> None:
        self._store = store

    def get(self, key: str) -> bytes | None:
        """See domain.ports.Cache."""
        try:
            return self._store.run(lambda client: client.get(PREFIX + key))  # type: ignore[return-value]
        except StoreDown:
            return None

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """See domain.ports.Cache."""
        with contextlib.suppress(StoreDown):
            self._store.run(lambda client: client.set(PREFIX + key, value, px=max(1, round(ttl_s * 1000))))

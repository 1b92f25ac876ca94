"""The answer cache of one process, bounded in entries and in bytes: what was asked for least lately goes first."""

import time
from collections import OrderedDict
from collections.abc import Callable

OVERHEAD_BYTES = 250
"""What an entry takes beside its key and value: the objects that hold them."""


class MemoryCache:
    """A domain.ports.Cache in the memory of this process."""

    def __init__(self, most_entries: int, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> bytes | None:
        """See domain.ports.Cache."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if self._clock() >= expires_at:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """See domain.ports.Cache."""
        self._remove(key)
        if _size(key, value) > self._most_bytes:
            return
        self._entries[key] = (self._clock() + ttl_s, value)
        self._bytes += _size(key, value)
        while self._bytes > self._most_bytes or len(self._entries) > self._most_entries:
            self._remove(next(iter(self._entries)))

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry[1])


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + OVERHEAD_BYTES

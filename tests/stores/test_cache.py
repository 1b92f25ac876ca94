"""The answer cache in a real Valkey."""

import time

from valkeys import RealValkey

from app.stores.cache import ValkeyCache
from app.stores.valkey import Valkey


def cache_in(valkey: RealValkey) -> ValkeyCache:
    """Make a worker's cache there."""
    return ValkeyCache(Valkey(valkey.url.replace("valkey", "redis")))


def test_workers_share_it(valkey: RealValkey) -> None:
    """What one has put, the other gets, whatever bytes it is; what nobody has put is not there."""
    one, other = cache_in(valkey), cache_in(valkey)
    one.put("a", b"\x00\xff\r\n", 60.0)
    assert other.get("a") == b"\x00\xff\r\n"
    assert other.get("b") is None


def test_it_keeps_for_its_time(valkey: RealValkey) -> None:
    """The store itself forgets a value when its time is over."""
    cache = cache_in(valkey)
    cache.put("a", b"1", 60.0)
    (key,) = valkey.client().keys()
    assert 30_000 < valkey.client().pttl(key) <= 60_000
    cache.put("a", b"1", 0.0)
    until = time.monotonic() + 5
    while cache.get("a") is not None:
        assert time.monotonic() < until


def test_a_store_that_is_down(own_valkey: RealValkey) -> None:
    """It holds nothing then, and takes nothing."""
    cache = cache_in(own_valkey)
    cache.put("a", b"1", 60.0)
    own_valkey.kill()
    assert cache.get("a") is None
    cache.put("a", b"1", 60.0)
    assert cache.get("a") is None

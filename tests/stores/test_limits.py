"""Limits in a real Valkey: shared by all who use it, kept across its restarts, and given back by a crash."""

import subprocess
import sys
import time
from collections.abc import Callable

import gevent
import pytest
from gateway import ROOT
from limits.storage.redis import RedisStorage
from stores.limiting import LimiterContract
from valkeys import RealValkey

from app.domain.errors import StoreDown
from app.domain.limits import Limits, Meter
from app.domain.ports import Limiter
from app.stores import limits as limits_module
from app.stores.limits import SharedLimits
from app.stores.valkey import Valkey

ONE_AT_ONCE = [Meter("caller", Limits(turns_at_once=1))]


def limiter_at(valkey: RealValkey) -> SharedLimits:
    """Return a limiter as a worker has one."""
    return SharedLimits(Valkey(valkey.url.replace("valkey:", "redis:"), timeout_s=10))


def entered(limiter: Limiter) -> str:
    """Try to take the one place until it is free."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (place := limiter.enter(ONE_AT_ONCE)) is not None:
            return place
        gevent.sleep(0.02)
    raise AssertionError("the place was never free")


class TestSharedLimits(LimiterContract):
    """The contract."""

    @pytest.fixture
    def limiter(self, valkey: RealValkey) -> Limiter:
        return limiter_at(valkey)


def test_two_workers_share(valkey: RealValkey) -> None:
    """What one counts the other sees, requests, tokens and places alike."""
    one, other = limiter_at(valkey), limiter_at(valkey)
    meters = [Meter("caller", Limits(requests_per_minute=2, tokens_per_minute=10, turns_at_once=1))]
    one.count(meters)
    one.leave(meters, None, 4)
    assert one.enter(meters) is not None
    (count,) = other.count(meters)
    assert count.requests is not None
    assert count.tokens is not None
    assert (count.requests.remaining, count.tokens.remaining) == (0, 6)
    assert other.enter(meters) is None


def test_everything_expires(valkey: RealValkey) -> None:
    """Nothing stays in the store for ever, whoever forgets to call again."""
    limiter = limiter_at(valkey)
    meters = [Meter("caller", Limits(requests_per_minute=2, tokens_per_minute=10, turns_at_once=1))]
    limiter.count(meters)
    limiter.leave(meters, None, 4)
    limiter.enter(meters)
    client = valkey.client()
    left_s = {key: client.ttl(key) for key in client.scan_iter()}
    assert len(left_s) == 3
    assert all(0 < ttl_s <= 120 for ttl_s in left_s.values())


def test_the_scripts_survive_a_restart(own_valkey: RealValkey) -> None:
    """A store that comes back empty is told the scripts again, and the count begins anew."""
    limiter = limiter_at(own_valkey)
    meters = [Meter("caller", Limits(requests_per_minute=1, turns_at_once=1))]
    assert limiter.count(meters)[0].is_taken
    own_valkey.kill()
    own_valkey.start()
    assert limiter.count(meters)[0].is_taken
    assert not limiter.count(meters)[0].is_taken
    assert limiter.enter(meters) is not None


def test_a_request_counts_once_while_the_scripts_are_told(own_valkey: RealValkey) -> None:
    """A store that knows the one that counts and not yet the one that reads, because another worker is at it."""
    client = own_valkey.client()
    client.script_load(RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW.decode())
    (count,) = limiter_at(own_valkey).count([Meter("caller", Limits(requests_per_minute=2))])
    assert count.requests is not None
    assert count.requests.remaining == 1


def test_a_store_that_is_down_says_so(own_valkey: RealValkey) -> None:
    """No limiter hides it: whether turns go on is decided elsewhere."""
    limiter = limiter_at(own_valkey)
    own_valkey.kill()
    calls: list[Callable[[], object]] = [
        lambda: limiter.count([Meter("caller", Limits(requests_per_minute=1))]),
        lambda: limiter.enter(ONE_AT_ONCE),
        lambda: limiter.leave(ONE_AT_ONCE, "place", 0),
    ]
    for call in calls:
        with pytest.raises(StoreDown):
            call()


def test_a_place_is_held_while_the_turn_runs(valkey: RealValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease of a long turn is renewed by its worker, until the place is given back."""
    monkeypatch.setattr(limits_module, "RENEW_S", 0.02)
    holder, client = limiter_at(valkey), valkey.client()
    place = entered(holder)
    first_ends_at = client.zscore("glottis:turns:caller", place)
    assert first_ends_at is not None
    with gevent.Timeout(10):
        while (client.zscore("glottis:turns:caller", place) or 0.0) <= first_ends_at:
            gevent.sleep(0.01)
    holder.leave(ONE_AT_ONCE, place, 0)
    with gevent.Timeout(10):
        holder._renewing.join()  # nothing is left to renew
    assert client.zcard("glottis:turns:caller") == 0


CRASH = """
import os, signal, sys
from app.stores import limits
from app.stores.valkey import Valkey
from app.domain.limits import Limits, Meter
limits.LEASE_S = 0.5
assert limits.SharedLimits(Valkey(sys.argv[1], timeout_s=10)).enter([Meter("caller", Limits(turns_at_once=1))])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_worker_gives_its_places_back(valkey: RealValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turns of a worker that died count no more when their leases are over."""
    monkeypatch.setattr(limits_module, "LEASE_S", 0.5)
    url = valkey.url.replace("valkey:", "redis:")
    subprocess.run([sys.executable, "-c", CRASH, url], cwd=ROOT, check=False)
    assert valkey.client().zcard("glottis:turns:caller") == 1
    entered(limiter_at(valkey))

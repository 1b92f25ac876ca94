"""Limits in memory keep what every limiter promises, however many greenlets ask at once."""

import subprocess
import sys

import gevent
import pytest
from gateway import ROOT, clean_environment
from stores.limiting import LimiterContract

from app.domain.limits import Limits, Meter
from app.domain.ports import Limiter
from app.stores import memory_limits
from app.stores.memory_limits import LocalLimits


class TestLocalLimits(LimiterContract):
    """The contract."""

    @pytest.fixture
    def limiter(self) -> Limiter:
        return LocalLimits()


def test_exact_under_load() -> None:
    """A thousand of ten thousand pass, with a hundred asking at once."""
    limiter = LocalLimits()
    meter = Meter("caller", Limits(requests_per_minute=1000))
    passed: list[bool] = []

    def ask() -> None:
        for _ in range(100):
            passed.append(limiter.count([meter])[0].is_taken)
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(ask) for _ in range(100)], raise_error=True)
    assert len(passed) == 10_000
    assert sum(passed) == 1000


def test_expired_windows_are_forgotten() -> None:
    """Callers who never come again take no memory."""
    limiter = LocalLimits()
    limits = Limits(requests_per_minute=1, tokens_per_minute=1)
    meters = [Meter(f"caller {number}", limits) for number in range(100)]
    limiter.count(meters)
    limiter.leave(meters, None, 1)
    storage = limiter._storage
    assert (len(storage.events), len(storage.storage)) == (100, 100)
    for (entry,) in storage.events.values():
        entry.atime -= 61
    for key in storage.expirations:
        storage.expirations[key] -= 121
    storage._tidy_at = 0.0
    limiter.count([Meter("another", limits)])
    assert (list(storage.events), list(storage.storage)) == (["requests:another"], [])


def test_nothing_is_kept_of_turns_that_are_over() -> None:
    """A caller without a running turn takes no memory."""
    limiter = LocalLimits()
    meters = [Meter("caller", Limits(turns_at_once=1))]
    place = limiter.enter(meters)
    assert place is not None
    limiter.leave(meters, place, 0)
    assert not limiter._running


UNLIMITED = """
import sys
from app.factory import create_app
from app.settings import Settings
create_app(Settings.load())
assert not {"limits", "redis"} & sys.modules.keys()
"""


def test_who_sets_no_limit_pays_nothing() -> None:
    """Neither the library nor the store's client is loaded where nothing asks for them."""
    env = clean_environment() | {"ALLOW_ANONYMOUS": "true", "OPENAI_API_KEY": "sk-unused"}
    done = subprocess.run([sys.executable, "-c", UNLIMITED], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_first_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come while the counts are being made are counted together, although making them lets others run."""

    class Slow(memory_limits._Storage):
        def __init__(self) -> None:
            gevent.sleep(0)
            super().__init__()

    monkeypatch.setattr(memory_limits, "_Storage", Slow)
    limiter = LocalLimits()
    meter = Meter("caller", Limits(requests_per_minute=1))
    asked = [gevent.spawn(limiter.count, [meter]) for _ in range(3)]
    gevent.joinall(asked, raise_error=True)
    assert sum(each.value[0].is_taken for each in asked) == 1

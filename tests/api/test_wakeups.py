"""Wake-ups are collected while many streams run, and only then."""

import gevent
import pytest

from app.api import wakeups
from app.api.wakeups import MANY, MOMENT_S, WakeUps


def test_only_many_streams_wait_for_each_other() -> None:
    """From the eighth stream on the loop collects, and below it no longer; in between nothing is set anew."""
    told: list[float] = []
    wake_ups = WakeUps(told.append)
    for _ in range(MANY + 5):
        wake_ups.opened()
    assert told == [MOMENT_S]
    for _ in range(5):
        wake_ups.closed()
    assert told == [MOMENT_S]
    for _ in range(MANY):
        wake_ups.closed()
    assert told == [MOMENT_S, 0.0]


def test_the_loop_itself_is_told() -> None:
    """The loop of gevent takes the interval: timers a moment apart are all served still."""
    wake_ups = WakeUps()
    for _ in range(MANY):
        wake_ups.opened()
    served = [gevent.spawn_later(delay, lambda: None) for delay in (0, MOMENT_S / 2, MOMENT_S)]
    gevent.joinall(served)
    assert all(each.successful() for each in served)
    for _ in range(MANY):
        wake_ups.closed()


def test_another_loop_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where gevent runs on a loop that has no such thing, streams run as ever."""

    class Hub:
        loop = object()

    monkeypatch.setattr(wakeups.gevent, "get_hub", Hub)
    wake_ups = WakeUps()
    for _ in range(MANY):
        wake_ups.opened()

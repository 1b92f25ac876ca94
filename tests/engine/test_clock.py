"""The clock of all turns: it ticks as long as there are any."""

import time
from weakref import WeakKeyDictionary

import gevent
import pytest
from engine.rooms import ANSWER, HI, Racing, Room
from gevent.event import Event
from scripted import ScriptedProvider

from app.domain import errors
from app.engine import patience
from app.engine.patience import TICK_S, Patience

FAR = time.monotonic() + 10_000


@pytest.fixture(autouse=True)
def _own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test have a clock that no other one has started."""
    monkeypatch.setattr(patience, "_clocks", WeakKeyDictionary())


def is_ticking() -> bool:
    """Tell whether the clock of this thread ticks."""
    active: bool = patience._clock()._timer.active
    return active


def test_silence_in_real_time() -> None:
    """Within a tick of the time that was asked for the waiting is over, whatever was done before it began."""
    gevent.sleep(1e-6)
    time.sleep(2 * TICK_S)  # the loop does not know of this time yet
    began_at = time.monotonic()
    waiting = Patience(TICK_S, FAR)
    with pytest.raises(errors.ProviderTimeout):
        list(waiting.over(iter(Event().wait, None)))
    assert TICK_S * 0.9 <= time.monotonic() - began_at < 5 * TICK_S
    waiting.close()


def test_the_clock_stops_when_no_turn_is_open() -> None:
    """An idle process is not woken ten times a second."""
    assert not is_ticking()
    one, other = Patience(1.0, FAR), Patience(1.0, FAR)
    assert is_ticking()
    one.close()
    one.close()
    assert is_ticking()
    other.close()
    assert not is_ticking()
    another = Patience(1.0, FAR)
    assert is_ticking(), "it starts again"
    another.close()


def test_however_a_turn_ends() -> None:
    """A turn that was answered, that failed or that was left stops its clock."""
    Racing(ScriptedProvider(*ANSWER)).to_its_end()
    assert not is_ticking()
    Room(ScriptedProvider(*ANSWER)).hear()
    assert not is_ticking()
    with pytest.raises(errors.ProviderKeyRefused):
        Room(ScriptedProvider(errors.ProviderKeyRefused())).hear()
    assert not is_ticking()
    with pytest.raises(errors.ModelNotFound):
        Room(ScriptedProvider(*ANSWER)).hear(model="other")
    assert not is_ticking()
    turn = Room(ScriptedProvider(HI, Event().wait)).take(conversation_id="c")
    assert is_ticking()
    turn.close(errors.CallerGone())
    assert not is_ticking()


def test_a_process_that_is_too_busy_to_listen_hears_no_silence() -> None:
    """While the loop stands still no provider can be heard, so that time does not count against one."""
    provider = ScriptedProvider(lambda: gevent.sleep(0.2), *ANSWER)
    racing = Racing(provider, first_token_s=0.5)
    gevent.spawn_later(0.05, time.sleep, 0.8)  # nothing else runs
    assert racing.to_its_end().target.provider == provider.name

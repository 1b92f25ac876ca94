"""What does not end by itself is given up: its line is written, and its connection is closed."""

import gevent
import pytest
from engine.rooms import HI, STOP, Room
from gevent.event import Event
from scripted import ScriptedProvider

from app.engine import turn as module


class Unheeding:
    """A caller who takes nothing any more, without going."""

    def __init__(self) -> None:
        self.detained = lambda: False
        self.came_at = 0.0
        self.gone_at = None
        self.was_cut_off = Event()

    def release(self) -> None:
        """They have not gone."""

    def hang_up(self) -> None:
        """Be cut off."""
        self.was_cut_off.set()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up sooner."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    monkeypatch.setattr(module, "SWEEP_S", 0.02)


@pytest.mark.parametrize("conversation", [None, "conv_1"])
def test_an_answer_that_nobody_takes(conversation: str | None) -> None:
    """total_s holds for a caller who does not read, too: the upstream call ends, and the turn is told."""
    provider = ScriptedProvider(HI, HI, STOP)
    room, caller = Room(provider, total_s=0.1), Unheeding()
    turn = room.take(caller, conversation_id=conversation)
    events = turn.events()
    next(events)
    assert caller.was_cut_off.wait(5)
    assert (room.record.end, room.record.text_chars, provider.closed) == ("provider_timeout", 2, 1)


def test_an_answer_that_nobody_takes_while_the_server_stops() -> None:
    """A drain does not wait for a caller who does not read."""
    room, caller = Room(ScriptedProvider(HI, HI, STOP)), Unheeding()
    turn = room.take(caller)
    events = turn.events()
    next(events)
    room.desk.end_open_turns()
    assert caller.was_cut_off.wait(5)
    assert room.record.end == "drained"


def test_a_provider_that_clings() -> None:
    """A user's own function that lets nothing through cannot keep its turn out of the log."""

    def cling() -> None:
        for _ in range(20):
            try:
                gevent.sleep(0.05)
            except BaseException:
                continue

    room, caller = Room(ScriptedProvider(HI, cling, STOP), total_s=0.1), Unheeding()
    heard = gevent.spawn(lambda: list(room.take(caller).events()))
    assert caller.was_cut_off.wait(5)
    assert room.record.end == "provider_timeout"
    heard.kill()

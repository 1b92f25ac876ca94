"""Late: a retry that comes when the answer is complete gets it once more, for a short while."""

from types import SimpleNamespace

import gevent
import pytest
from engine.rooms import ANSWER, HI, STOP, Room, listening, settle
from gevent.event import Event
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.events import Filler, Pause
from app.engine import inflight

CALL = {"conversation_id": "conv_1"}


class Clock:
    """A clock that a test sets, for how long answers are kept."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put the time of kept answers into the test's hands."""
    clock = Clock()
    monkeypatch.setattr(inflight, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def kept(room: Room) -> int:
    """Return how many answers are remembered."""
    in_flight = room.desk._in_flight
    return max(len(in_flight._answers), len(in_flight._over))


@pytest.mark.parametrize(("later_s", "calls"), [(0.0, 1), (inflight.KEPT_S - 0.1, 1), (inflight.KEPT_S, 2)])
def test_a_complete_answer_is_kept_for_a_while(clock: Clock, later_s: float, calls: int) -> None:
    """Within KEPT_S a retry gets the same answer, and later a new one."""
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    assert room.hear(**CALL) == ANSWER
    clock.now += later_s
    assert room.hear(**CALL) == ANSWER
    assert provider.begun == calls


def test_the_while_does_not_grow(clock: Clock) -> None:
    """It counts from the end of the call, not from the last one to ask."""
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    for _ in range(3):
        room.hear(**CALL)
        clock.now += 2.0
    assert provider.begun == 1
    room.hear(**CALL)
    assert provider.begun == 2


def test_what_filled_the_silence_is_not_said_again() -> None:
    """A late one need not wait, so there is nothing to fill."""
    room = Room(
        ScriptedProvider(lambda: gevent.sleep(0.06), *ANSWER),
        filler_after_s=0.01,
        headers_after_s=0.03,
        heartbeat_s=0.02,
    )
    first = room.hear(**CALL)
    assert isinstance(first[0], Filler)
    assert Pause() in first
    assert room.hear(**CALL) == ANSWER


FAILED: list[list[Step]] = [
    [errors.ProviderKeyRefused()],
    [HI, errors.ProviderTimeout()],
    [errors.ProviderRequestRefused()],
    [ValueError("odd")],
]


@pytest.mark.parametrize("script", FAILED)
def test_a_failure_is_not_kept(script: list[Step]) -> None:
    """Who asks again after a failure gets another try."""
    provider = ScriptedProvider(*script, then=[ANSWER])
    room = Room(provider, resume=False)
    with pytest.raises(errors.GlottisError):
        room.hear(**CALL)
    assert room.hear(**CALL) == ANSWER


def test_an_apology_is_not_kept() -> None:
    """Nor after an apology."""
    room = Room(ScriptedProvider(errors.ProviderKeyRefused(), then=[ANSWER]), apology="Sorry.")
    assert room.hear(**CALL) != ANSWER
    assert room.hear(**CALL) == ANSWER


def test_an_answer_that_was_left_is_not_kept() -> None:
    """What nobody heard to its end is not there to be heard."""
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    turn = room.take(**CALL)
    turn.close(errors.CallerGone())
    assert room.hear(**CALL) == ANSWER
    assert provider.begun == 2


def test_late_ones_are_told_as_such() -> None:
    """The record of a late one names the turn whose call it shared, so that nobody counts its cost twice."""
    room = Room(ScriptedProvider(*ANSWER))
    for request_id in ("first", "second", "third"):
        room.hear(**CALL, request_id=request_id)
    assert [(record.request_id, record.shares) for record in room.observer.records] == [
        ("first", None),
        ("second", "first"),
        ("third", "first"),
    ]
    assert [record.end for record in room.observer.records] == ["completed"] * 3


def test_a_late_one_who_goes() -> None:
    """Hanging up in mid-answer harms nobody else."""
    room = Room(ScriptedProvider(*ANSWER))
    room.hear(**CALL)
    turn = room.take(**CALL)
    next(turn.events())
    turn.close(errors.CallerGone())
    assert room.hear(**CALL) == ANSWER
    assert [record.end for record in room.observer.records] == ["completed", "caller_gone", "completed"]


def test_old_answers_are_forgotten(clock: Clock) -> None:
    """What is of no more use is let go when the next one asks."""
    room = Room(ScriptedProvider(*ANSWER))
    for number in range(10):
        room.hear(conversation_id=str(number))
    assert kept(room) == 10
    clock.now += inflight.KEPT_S
    room.hear(**CALL)
    assert kept(room) == 1


def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask within KEPT_S, no more than so many answers are remembered; the newest are."""
    monkeypatch.setattr(inflight, "MOST_KEPT", 5)
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    for number in range(20):
        room.hear(conversation_id=str(number))
    assert kept(room) <= 6
    room.hear(conversation_id="19")
    assert provider.begun == 20
    room.hear(conversation_id="0")
    assert provider.begun == 21


def test_a_long_answer_does_not_keep_the_others(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is still open keeps nothing else in memory: neither what is too old, nor what is too much."""
    monkeypatch.setattr(inflight, "MOST_KEPT", 5)
    gate = Event()
    room = Room(ScriptedProvider(HI, gate.wait, STOP, then=[ANSWER]))
    long = listening(room, **CALL)
    settle()
    for number in range(20):
        room.hear(conversation_id=str(number))
    assert kept(room) <= 7
    clock.now += inflight.KEPT_S
    room.hear(conversation_id="last")
    assert kept(room) <= 2
    gate.set()
    assert long.wait().heard[:2] == [HI, STOP]


def test_failures_leave_nothing_behind(clock: Clock) -> None:
    """What cannot be shared is forgotten too."""
    room = Room(ScriptedProvider(errors.ProviderKeyRefused()))
    for number in range(5):
        with pytest.raises(errors.ProviderKeyRefused):
            room.hear(conversation_id=str(number))
    assert kept(room) == 1

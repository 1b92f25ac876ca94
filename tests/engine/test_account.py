"""Account: how a turn ended, in words of a closed list, with everything that it went through."""

from collections.abc import Callable
from typing import get_args

import gevent
import pytest
from engine.rooms import ANSWER, CALL, HI, STOP, Room, listening, settle
from gevent.event import Event
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.events import Finish, Text, Usage
from app.domain.turn import End, Outcome


def heard(*steps: Step) -> Callable[[], Room]:
    """Return a scenario: a turn with this script is heard to its end, whatever that is."""

    def scenario() -> Room:
        room = Room(ScriptedProvider(*steps), retries=0)
        person = listening(room)
        settle()
        person.wait()
        return room

    return scenario


def left() -> Room:
    """A caller who hangs up while the turn waits."""
    room = Room(ScriptedProvider(HI, Event().wait))
    person = listening(room)
    settle()
    person.hang_up()
    return room


def drained() -> Room:
    """A turn that is still open when the server stops."""
    room = Room(ScriptedProvider(HI, Event().wait))
    person = listening(room)
    settle()
    room.desk.end_open_turns()
    person.wait()
    return room


ENDS: list[tuple[End, int, Callable[[], Room]]] = [
    ("completed", 200, heard(HI, STOP)),
    ("completed", 200, heard(CALL, Finish("tool_calls"))),
    ("length", 200, heard(HI, Finish("length"))),
    ("refused", 200, heard(HI, Finish("content_filter"))),
    ("refused", 200, heard(Finish("content_filter"))),
    ("caller_gone", 200, left),
    ("provider_error", 502, heard(errors.ProviderUnreachable())),
    ("provider_error", 429, heard(errors.ProviderRateLimited())),
    ("provider_error", 503, heard(errors.ProviderNotConfigured())),
    ("provider_error", 502, heard(errors.FunctionFailed())),
    ("provider_error", 200, heard(HI, errors.ProviderBroken())),
    ("provider_timeout", 504, heard(errors.ProviderTimeout())),
    ("provider_timeout", 200, heard(HI, errors.ProviderTimeout())),
    ("invalid_request", 400, heard(errors.ContextTooLong())),
    ("invalid_request", 404, heard(errors.ProviderModelNotFound())),
    ("invalid_request", 413, heard(errors.ProviderRequestTooLarge())),
    ("limit", 429, heard(errors.RateLimitExceeded())),
    ("drained", 200, drained),
    ("internal", 500, heard(ValueError("odd"))),
    ("internal", 200, heard(HI, ValueError("odd"))),
]


@pytest.mark.parametrize(("end", "status", "scenario"), ENDS, ids=[end for end, _, _ in ENDS])
def test_how_a_turn_ended(end: End, status: int, scenario: Callable[[], Room]) -> None:
    """Every end has its word, and its status as the client saw it; it is told once."""
    record = scenario().record
    assert (record.end, record.status) == (end, status)


def test_every_word_of_the_list_is_used() -> None:
    """No end is there that no turn can have."""
    assert {end for end, _, _ in ENDS} == set(get_args(End))


FAILURES: list[tuple[Exception, End, int]] = [
    (errors.ProviderUnreachable(detail="inside"), "provider_error", 502),
    (errors.ProviderTimeout(detail="inside"), "provider_timeout", 504),
    (errors.ContextTooLong(detail="inside"), "invalid_request", 400),
]


@pytest.mark.parametrize(("failure", "end", "status"), FAILURES)
def test_failed_before_commit(failure: errors.GlottisError, end: End, status: int) -> None:
    """When every target fails the record has the last error's name and detail, and each attempt."""
    first = ScriptedProvider(errors.ProviderOverloaded(upstream_status=529), name="first")
    room = Room(first, ScriptedProvider(failure, name="second"), retries=0)
    with pytest.raises(type(failure)):
        room.take()
    record = room.record
    assert (record.end, record.status) == (end, status)
    assert room.told == [("first", "failed", "ProviderOverloaded"), ("second", "failed", failure.name)]
    assert [attempt.upstream_status for attempt in record.attempts] == [529, None]
    assert (record.target, record.first_speakable_ms, record.usage) == (None, None, None)
    assert record.error == f"{failure.name}: inside"


def test_failed_without_a_target() -> None:
    """A model that nobody has is a turn too."""
    room = Room(ScriptedProvider(*ANSWER))
    with pytest.raises(errors.ModelNotFound):
        room.take(model="other")
    assert (room.record.end, room.record.status, room.told) == ("invalid_request", 404, [])


@pytest.mark.parametrize(("stream", "status"), [(True, 200), (False, 504)])
def test_the_status_of_a_cut_answer(stream: bool, status: int) -> None:
    """A stream's status is out by then; an answer in one piece is none."""
    room = Room(ScriptedProvider(HI, errors.ProviderTimeout()))
    with pytest.raises(errors.ProviderTimeout):
        room.hear(stream=stream)
    assert (room.record.end, room.record.status, room.record.text_chars) == ("provider_timeout", status, 2)


@pytest.mark.parametrize(("stream", "status"), [(True, 200), (False, 499)])
@pytest.mark.parametrize("error", [None, errors.CallerGone(), GeneratorExit()], ids=["unread", "gone", "closed"])
def test_the_status_of_a_caller_who_went(stream: bool, status: int, error: BaseException | None) -> None:
    """Going is a normal end, by whatever name it is told."""
    room = Room(ScriptedProvider(*ANSWER))
    room.take(stream=stream).close(error)
    assert (room.record.end, room.record.status, room.record.error) == ("caller_gone", status, None)


def test_every_outcome_is_told() -> None:
    """What became of each attempt, in order, with its times and what it cost as far as is known."""
    lost = ScriptedProvider(Event().wait, name="lost")
    failed = ScriptedProvider(errors.ProviderKeyRefused(upstream_status=401), name="failed")
    cut = ScriptedProvider(Text("one "), errors.ProviderTimeout(), name="cut")
    answered = ScriptedProvider(Text("two"), STOP, Usage(7, 2), name="answered")
    room = Room(failed, lost, cut, answered, hedge_after_s=0.02, retries=0)
    room.hear()
    record = room.record
    outcomes: dict[Outcome, str] = {outcome: name for name, outcome, _ in room.told}  # type: ignore[misc]
    assert {"failed", "cut", "answered", "lost"} <= set(outcomes)
    assert all(outcome == name for outcome, name in outcomes.items() if outcome != "lost")
    assert record.attempts[-1].usage == Usage(7, 2)
    for attempt in record.attempts:
        assert 0 <= attempt.began_ms <= attempt.began_ms + attempt.duration_ms <= record.total_ms + 1
        assert (attempt.usage is None) == (attempt.outcome == "failed")
    assert left().told == [("scripted", "left", None)]


def shared(*, first_goes: str) -> Room:
    """Two callers who share an answer; the first one goes then."""
    gate = Event()
    room = Room(ScriptedProvider(HI, STOP, gate.wait, Usage(5, 5)))
    first = room.take(conversation_id="c", request_id="first")
    second = listening(room, conversation_id="c", request_id="second")
    events = first.events()
    if first_goes != "before a word":
        assert next(events) == HI
    if first_goes in ("after the finish", "at the end"):
        assert next(events) == STOP
    settle()
    if first_goes == "at the end":
        gate.set()
        list(events)
    first.close()
    settle()
    gate.set()
    second.wait()
    return room


@pytest.mark.parametrize("first_goes", ["before a word", "in mid-answer", "after the finish", "at the end"])
def test_those_who_share_tell_the_cost_once(first_goes: str) -> None:
    """Of all who heard one answer exactly one has its usage, whoever goes first; all others name who began it."""
    records = shared(first_goes=first_goes).observer.records
    assert {record.request_id: record.shares for record in records} == {"first": None, "second": "first"}
    assert [record.usage for record in records if record.usage is not None] == [Usage(5, 5)]


def test_times_count_from_each_one_s_own_start() -> None:
    """One who joins late has waited less, and not a negative time."""
    gate = Event()
    room = Room(ScriptedProvider(HI, gate.wait, STOP))
    first = listening(room, conversation_id="c", request_id="first")
    gevent.sleep(0.05)
    second = listening(room, conversation_id="c", request_id="second")
    settle()
    gate.set()
    first.wait()
    second.wait()
    records = {record.request_id: record for record in room.observer.records}
    assert records["second"].first_speakable_ms == 0
    assert records["second"].total_ms < records["first"].total_ms

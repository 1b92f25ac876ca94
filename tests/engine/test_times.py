"""The times of a turn: what its caller waited for, how long it was silent, and how soon it was over when they left."""

import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from engine.rooms import ANSWER, CALL, HI, STOP, Room, listening, settle
from gevent.event import Event
from scripted import Listener, ScriptedProvider, Step

from app.domain import errors
from app.domain.config import Route, Target
from app.domain.events import Finish, Reasoning, Refusal, Text, Usage
from app.domain.turn import TurnRecord
from app.engine.routing import Router
from app.engine.turn import Desk

STEP_S = 0.03
"""Long enough to be told from no time at all, on a machine that stops for a moment."""


def pause() -> None:
    """Let the provider be silent."""
    gevent.sleep(STEP_S)


def told(*steps: Step, stream: bool = True, **budget: Any) -> TurnRecord:
    """Hear a whole answer, and return the record of its turn."""
    room = Room(ScriptedProvider(*steps), **budget)
    room.hear(stream=stream)
    return room.record


def is_late(measured_ms: float | None) -> bool:
    """Whether what was measured came after the pause."""
    assert measured_ms is not None
    return measured_ms >= STEP_S * 1000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["Hello. ", "How are you"], []),
        (["Hello", ".", " How"], []),
        (["Hello", "!", "\n\n"], []),
        (["Well:", "\n"], []),
        (["Hello\n"], []),
        (["\u4f60\u597d\u3002"], []),
        (["It is 10", ":", "30 and 3", ".", "5"], ["."]),
        (["Hello."], [" How"]),
        (["\n", " \n"], ["Hello. "]),
        (["Hello"], []),
    ],
)
def test_the_first_sentence(before: list[str], after: list[str]) -> None:
    """It has ended when a mark is followed by white space, at a line's end, or with the answer."""
    is_over_before = not after and before != ["Hello"]
    record = told(*map(Text, before), pause, *map(Text, after), Text(" word"), STOP)
    assert is_late(record.first_sentence_ms) != is_over_before


@pytest.mark.parametrize(
    "steps",
    [
        [CALL, Finish("tool_calls")],
        [Text(" "), CALL, Finish("tool_calls")],
        [Text("one. two"), errors.CallerGone()],
    ],
)
def test_no_first_sentence(steps: list[Step]) -> None:
    """Where nothing is said there is no sentence, and a filler or an apology is none of the model's."""
    room = Room(ScriptedProvider(*steps))
    person = listening(room)
    settle()
    person.wait()
    is_said = steps[0] == Text("one. two")
    assert (room.record.first_sentence_ms is not None) == is_said
    apologetic = Room(ScriptedProvider(errors.ProviderKeyRefused()), apology="I am sorry. ")
    apologetic.hear()
    assert apologetic.record.apologised
    assert (apologetic.record.first_sentence_ms, apologetic.record.largest_gap_ms) == (None, None)


@pytest.mark.parametrize("between", [[], [Text(" ")], [Text("")], [Reasoning("hm")]])
@pytest.mark.parametrize("second", [Text("\n\n b"), CALL, Refusal("no")])
def test_the_largest_gap(between: list[Step], second: Step) -> None:
    """It is between two events that a caller can hear, or that act: nothing else ends a silence."""
    halves: list[Step] = [pause, *between, pause]
    record = told(Text("a"), *halves, second, STOP, pause)
    assert record.largest_gap_ms is not None
    assert record.largest_gap_ms >= 2 * STEP_S * 1000


def test_no_gap_in_one_word() -> None:
    """Before the first word and after the last there is no gap."""
    assert told(pause, HI, pause, STOP).largest_gap_ms is None


def test_a_gap_over_two_attempts() -> None:
    """What the caller hears while an answer is continued by another attempt is a gap too."""
    first = ScriptedProvider(Text("one "), errors.ProviderBroken(), name="first")
    second = ScriptedProvider(pause, Text("two"), STOP, name="second")
    room = Room(first, second, retries=0)
    room.hear()
    assert is_late(room.record.largest_gap_ms)


def test_the_first_byte() -> None:
    """A stream's first byte is its filler or its first word; an answer in one piece leaves when it is whole."""
    filled = told(pause, *ANSWER, filler_after_s=0.001)
    assert (is_late(filled.first_byte_ms), is_late(filled.first_speakable_ms)) == (False, True)
    spoken = told(HI, pause, STOP)
    assert not is_late(spoken.first_byte_ms)
    whole = told(HI, pause, STOP, stream=False)
    assert (is_late(whole.first_byte_ms), is_late(whole.first_speakable_ms)) == (True, False)
    assert whole.first_byte_ms == whole.total_ms


def test_no_byte() -> None:
    """Who gets no answer gets no first byte of one."""
    room = Room(ScriptedProvider(errors.ProviderKeyRefused()))
    with pytest.raises(errors.ProviderKeyRefused):
        room.hear(stream=False)
    assert room.record.first_byte_ms is None


def test_overhead() -> None:
    """It counts from the request's coming to the first call, however many follow."""
    first = ScriptedProvider(pause, errors.ProviderKeyRefused(), name="first")
    room = Room(first, ScriptedProvider(*ANSWER, name="second"))
    person = listening(room)
    person.came_at -= 1.0
    person.wait()
    assert room.record.overhead_ms is not None
    assert 1000 <= room.record.overhead_ms < 1000 + STEP_S * 1000
    assert abs(time.time() - 1.0 - room.record.began_at) < 1.0


def test_no_overhead_where_nobody_was_asked() -> None:
    """A model that nobody has, and an answer that another turn asked for."""
    room = Room(ScriptedProvider(HI, pause, STOP))
    with pytest.raises(errors.ModelNotFound):
        room.take(model="other")
    assert (room.record.overhead_ms, room.record.cost_usd) == (None, None)
    room.observer.records.clear()
    people = [listening(room, conversation_id="c", request_id=name) for name in ("first", "second")]
    for person in people:
        person.wait()
    assert {record.shares: record.overhead_ms is None for record in room.observer.records} == {
        None: False,
        "first": True,
    }


def leaving(room: Room, **request: Any) -> TurnRecord:
    """Hang up on a turn that waits, and return its record."""
    person = listening(room, **request)
    settle()
    person.hang_up()
    person.wait()
    return room.record


def lingering() -> None:
    """Wait, and be slow to let go."""
    try:
        Event().wait()
    finally:
        pause()


@pytest.mark.parametrize("steps", [[lingering], [HI, lingering]], ids=["before a word", "in mid-answer"])
def test_cancelling(steps: list[Step]) -> None:
    """From the caller's going to the end of the upstream call: a call that clings to its life is not over."""
    room = Room(ScriptedProvider(*steps))
    assert is_late(leaving(room).cancel_ms)
    prompt = Room(ScriptedProvider(HI, Event().wait))
    record = leaving(prompt)
    assert record.cancel_ms is not None
    assert not is_late(record.cancel_ms)


def test_what_is_no_cancelling() -> None:
    """An answer that was heard to its end, one that failed, and one that others still hear."""
    assert told(*ANSWER).cancel_ms is None
    gate = Event()
    room = Room(ScriptedProvider(HI, gate.wait, STOP))
    first, second = (listening(room, conversation_id="c", request_id=name) for name in ("first", "second"))
    settle()
    second.hang_up()
    gate.set()
    first.wait()
    second.wait()
    assert [record.cancel_ms for record in room.observer.records] == [None, None]


def prices(target: str, usage: Usage) -> float | None:
    """Ask a cent for a token, of all but one."""
    return None if target.startswith("dear") else (usage.prompt_tokens + usage.completion_tokens) / 100


@pytest.mark.parametrize(
    ("attempts", "cost"),
    [
        ({"answers": [HI, STOP, Usage(3, 4)]}, 0.07),
        ({"fails": [errors.ProviderKeyRefused()], "answers": [HI, STOP, Usage(3, 4)]}, 0.07),
        (
            {"cut": [Text("one "), Usage(1, 1), errors.ProviderBroken()], "answers": [Text("two"), STOP, Usage(3, 4)]},
            0.11,  # it was asked again before another one was
        ),
        ({"dear": [HI, STOP, Usage(3, 4)]}, None),
        ({"dear": [Text("one "), errors.ProviderBroken()], "answers": [Text("two"), STOP, Usage(3, 4)]}, None),
    ],
)
def test_the_cost(attempts: dict[str, list[Step]], cost: float | None) -> None:
    """All attempts of a turn count, and without the price of one there is no sum."""
    providers = {name: ScriptedProvider(*steps, name=name) for name, steps in attempts.items()}
    router = Router({"m": Route([Target(name, "x") for name in providers])}, set(), set(), None)
    observer = Listener()
    desk = Desk(router, providers, [observer], prices)
    room = Room(*providers.values())
    room.desk, room.observer = desk, observer
    room.hear(caller="key-name")
    assert room.record.cost_usd == cost
    assert (room.record.key, room.record.route) == ("key-name", "m")


@pytest.mark.parametrize("model", ["scripted/m", "other"])
def test_no_route(model: str) -> None:
    """A name that leads straight to a provider, or nowhere, is no route."""
    room = Room(ScriptedProvider(*ANSWER))
    asked: Callable[[], object] = lambda: room.hear(model=model)  # noqa: E731
    if model == "other":
        with pytest.raises(errors.ModelNotFound):
            asked()
    else:
        asked()
    assert (room.record.route, room.record.key) == (None, None)

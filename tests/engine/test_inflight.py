"""Sharing: the same request of the same conversation, asked again while it is answered, costs one upstream call."""

from typing import Any

import gevent
import pytest
from engine.rooms import ANSWER, HI, STOP, USAGE, Person, Room, listening, settle
from gevent.event import Event
from scripted import ScriptedProvider

from app.domain import errors
from app.domain.events import Event as AnswerEvent
from app.domain.events import Filler, Pause, Start, Text
from app.domain.request import TurnRequest
from app.engine.inflight import key_of

MORE = Text(" there")
WHOLE = [Start("id"), HI, MORE, STOP, USAGE]
CALL = {"conversation_id": "conv_1"}


class Gated:
    """A provider that says one word, waits at its gate, and says the rest; and a room for it."""

    def __init__(self, *rest: AnswerEvent | BaseException, **budget: Any) -> None:
        self.gate = Event()
        steps = rest or (MORE, STOP, USAGE)
        self.provider = ScriptedProvider(Start("id"), HI, self.gate.wait, *steps)
        self.room = Room(self.provider, **budget)

    def listener(self, number: int = 1, **request: Any) -> Person:
        """Let one more caller ask, and come as far as they can."""
        person = listening(self.room, **(CALL | {"request_id": f"req_{number}"} | request))
        settle()
        return person

    def open(self) -> None:
        """Let the provider say the rest."""
        self.gate.set()
        settle()


def test_one_call_for_all() -> None:
    """Eight callers who ask the same at once share one upstream call, and each hears the whole answer."""
    gated = Gated()
    people = [gated.listener(number) for number in range(8)]
    assert [person.heard for person in people] == [[Start("id"), HI]] * 8
    gated.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 8
    assert (gated.provider.begun, gated.provider.closed) == (1, 1)
    assert [record.end for record in gated.room.observer.records] == ["completed"] * 8


@pytest.mark.parametrize(
    "other",
    [
        {"conversation_id": "conv_2"},
        {"caller": "another key"},
        {"messages": [{"role": "user", "content": "something else"}]},
        {"params": {"temperature": 0.5}},
        {"stream": False},
        {"extra": {"UUID": "another"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_only_the_very_same_request(other: dict[str, Any]) -> None:
    """Another conversation, the holder of another key, or another question gets an answer of its own."""
    gated = Gated()
    people = [gated.listener(), gated.listener(**other)]
    assert gated.provider.begun == 2
    gated.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 2


@pytest.mark.parametrize("conversation", [None, ""])
def test_who_names_no_conversation_shares_with_nobody(conversation: str | None) -> None:
    """Two strangers who both say hello are not the same caller."""
    gated = Gated()
    people = [gated.listener(conversation_id=conversation) for _ in range(2)]
    assert gated.provider.begun == 2
    gated.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 2
    assert [record.shares for record in gated.room.observer.records] == [None, None]


def test_the_request_id_is_each_one_s_own() -> None:
    """A retry has another id, and is the same request all the same."""
    one = TurnRequest(model="m", messages=[], request_id="a", conversation_id="c")
    other = TurnRequest(model="m", messages=[], request_id="b", conversation_id="c")
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize("odd", [2**70, -(2**70), 1e300, "\u2028", {"a": [None, True]}])
def test_whatever_a_request_holds(odd: Any) -> None:
    """Whatever JSON can say is answered, and known again."""
    room = Room(ScriptedProvider(*ANSWER))
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"maximum": odd}}}]
    assert [room.hear(**CALL, tools=tools) for _ in range(2)] == [ANSWER, ANSWER]
    assert next(iter(room.providers.values())).begun == 1


def test_the_first_goes_and_the_others_hear_on() -> None:
    """Who began the call hangs up: the call goes on for the others, and ends for him as soon as they can do without."""
    gated = Gated()
    first, second = gated.listener(1), gated.listener(2)
    first.hang_up()
    assert gated.provider.closed == 0
    gated.open()
    assert second.wait().heard == WHOLE
    assert isinstance(first.wait().error, errors.CallerGone)
    assert gated.provider.begun == 1
    assert first.heard == [Start("id"), HI]


def test_another_goes_at_once() -> None:
    """Who only listens, and advances nothing, is let go in the moment of hanging up."""
    gated = Gated()
    first, second = gated.listener(1), gated.listener(2)
    second.hang_up()
    assert isinstance(second.wait().error, errors.CallerGone)
    assert gated.provider.closed == 0
    gated.open()
    assert first.wait().heard == WHOLE


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_the_last_one_goes(order: tuple[int, ...]) -> None:
    """When nobody listens any more the upstream call ends at once, whoever is last, and everybody is let go."""
    gated = Gated()
    people = [gated.listener(number) for number in range(3)]
    for place in order:
        assert gated.provider.closed == 0
        people[place].hang_up()
    assert gated.provider.closed == 1
    assert all(isinstance(person.wait().error, errors.CallerGone) for person in people)
    assert [record.end for record in gated.room.observer.records] == ["caller_gone"] * 3


def test_one_who_comes_after_the_first_has_gone() -> None:
    """As long as the call goes on, who asks again hears it from its start."""
    gated = Gated()
    first, second = gated.listener(1), gated.listener(2)
    first.hang_up()
    third = gated.listener(3)
    assert third.heard == [Start("id"), HI]
    gated.open()
    assert [person.wait().heard for person in (second, third)] == [WHOLE] * 2
    assert gated.provider.begun == 1


def test_one_who_comes_after_all_have_gone() -> None:
    """A call that was ended is shared with nobody: a new one is made."""
    gated = Gated()
    gated.listener(1).hang_up()
    assert gated.provider.closed == 1
    second = gated.listener(2)
    gated.open()
    assert second.wait().heard == WHOLE
    assert gated.provider.begun == 2


def test_a_slow_reader_holds_nobody_up() -> None:
    """Who began the call but does not read on leaves the reading to others."""
    gated = Gated()
    turn = gated.room.take(**CALL)
    events = turn.events()
    assert next(events) == Start("id")
    quick = gated.listener(2)
    gated.open()
    assert quick.wait().heard == WHOLE
    assert list(events) == WHOLE[1:]
    turn.close()


@pytest.mark.parametrize("failure", [errors.ProviderTimeout(), ValueError("odd")])
def test_all_hear_of_a_failure(failure: Exception) -> None:
    """A call that fails in mid-answer fails for all who listen, as it would for one."""
    gated = Gated(failure, resume=False)
    people = [gated.listener(number) for number in range(3)]
    gated.open()
    expected = errors.ProviderTimeout if isinstance(failure, errors.ProviderTimeout) else errors.InternalError
    assert [type(person.wait().error) for person in people] == [expected] * 3
    assert len({record.end for record in gated.room.observer.records}) == 1
    assert gated.provider.begun == 1


def test_all_hear_of_a_failure_before_the_first_word() -> None:
    """Each of them gets the status."""
    gate = Event()
    provider = ScriptedProvider(gate.wait, errors.ProviderKeyRefused())
    room = Room(provider)
    people = [listening(room, **CALL, request_id=str(number)) for number in range(3)]
    settle()
    gate.set()
    assert [type(person.wait().error) for person in people] == [errors.ProviderKeyRefused] * 3
    assert [record.status for record in room.observer.records] == [502] * 3
    assert provider.begun == 1


def test_who_joins_when_there_are_words_hears_no_filler() -> None:
    """What filled the silence for the first is not said to one for whom there was none."""
    gate = Event()
    provider = ScriptedProvider(lambda: gevent.sleep(0.05), HI, gate.wait, MORE, STOP, USAGE)
    room = Room(provider, filler_after_s=0.01)
    first = listening(room, **CALL)
    Event().wait(0.1)
    second = listening(room, **(CALL | {"request_id": "req_2"}))
    settle()
    gate.set()
    assert [isinstance(event, Filler) for event in first.wait().heard] == [True, False, False, False, False]
    assert second.wait().heard == [HI, MORE, STOP, USAGE]
    assert provider.begun == 1


def test_signs_of_life_reach_all() -> None:
    """Each listener's connection is kept open, whoever advances the answer."""
    gated = Gated(heartbeat_s=0.02)
    people = [gated.listener(number) for number in range(2)]
    Event().wait(0.1)
    assert all(Pause() in person.heard for person in people)
    gated.open()
    for person in people:
        assert [event for event in person.wait().heard if not isinstance(event, Pause)] == WHOLE

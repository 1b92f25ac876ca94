"""A turn: however it ends, its upstream call ends with it, and it is accounted for exactly once."""

import contextlib

import pytest
from engine.rooms import ANSWER, HI, STOP, Person, Room, listening, settle, spoken
from gevent.event import Event
from scripted import Clinging, Listener, ScriptedProvider, Step

from app.domain import errors
from app.domain.config import Route, Target
from app.domain.events import Event as AnswerEvent
from app.domain.events import Finish, Reasoning, Refusal, Start, Text, ToolCall
from app.domain.request import TurnRequest
from app.engine.answer import with_defaults

SHARED = pytest.mark.parametrize("conversation", [None, "conv_1"], ids=["alone", "shared"])
"""A turn that may be shared is told as one that may not, as long as nobody else asks."""


@SHARED
def test_a_turn_that_completes(conversation: str | None) -> None:
    """The answer comes whole, and what is told of it is everything but what was said."""
    room = Room(ScriptedProvider(*ANSWER))
    other = Listener()
    room.desk.observers = [room.observer, other]
    turn = room.take(conversation_id=conversation)
    assert list(turn.events()) == ANSWER
    assert room.observer.records == []
    turn.close()
    record = room.record
    assert other.record is record
    assert room.told == [("scripted", "answered", None)]
    assert (record.request_id, record.conversation_id, record.model) == ("req_1", conversation, "m")
    assert (record.end, record.status, record.stream, record.error) == ("completed", 200, True, None)
    assert (record.target, record.finish_reason, record.usage) == ("scripted/model", "stop", ANSWER[-1])
    assert (record.text_chars, record.tool_calls, record.shares) == (2, 0, None)
    assert record.first_speakable_ms is not None
    assert 0 <= record.first_speakable_ms <= record.total_ms


SECRETS: list[list[Step]] = [
    [Text("secret"), ToolCall(0, "c", "f", '{"secret": 1}'), Finish("tool_calls")],
    [Refusal("secret"), Reasoning("secret"), STOP],
    [ValueError("secret")],
    [KeyboardInterrupt("secret")],
    [HI, ValueError("secret")],
]


@pytest.mark.parametrize("script", SECRETS)
def test_nothing_that_was_said_is_told(script: list[Step]) -> None:
    """Neither what the caller said nor what the model did is in the record, nor what an unforeseen fault says of it."""
    room = Room(ScriptedProvider(*script))
    person = listening(
        room,
        messages=[{"role": "user", "content": "secret"}],
        extra={"secret": "secret"},
        params={"user": "secret"},
        tools=[{"type": "function", "function": {"name": "f", "description": "secret"}}],
    )
    person.wait()
    assert "secret" not in repr(room.record)


def test_the_provider_gets_the_route_s_defaults_and_a_mended_history() -> None:
    """What goes upstream is the request with what the route and the repair add."""
    provider = ScriptedProvider(*ANSWER)
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = Room(provider).take(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    ((request, model),) = provider.asked
    assert (model, request.params) == ("model", {"seed": 1})
    assert [message["role"] for message in request.messages] == ["assistant", "tool"]
    assert turn.request.params == {"seed": 1}
    turn.close()


def test_a_route_s_defaults() -> None:
    """A route's parameters fill in what the request leaves open, and change nothing of the request itself."""
    request = TurnRequest(model="m", messages=[], params={"temperature": 0, "seed": 1})
    route = Route([Target("p", "m")], {"temperature": 0.6, "max_tokens": 77})
    assert with_defaults(request, route).params == {"temperature": 0, "max_tokens": 77, "seed": 1}
    assert request.params == {"temperature": 0, "seed": 1}
    assert with_defaults(request, Route([Target("p", "m")])) == request
    shown = with_defaults(request, Route([Target("p", "m")], prompt_caching=False, reasoning_content=True))
    assert (shown.prompt_caching, shown.reasoning_content) == (False, True)


@pytest.mark.parametrize("stream", [True, False])
def test_a_turn_commits_at_its_first_word(stream: bool) -> None:
    """The desk returns when there is something to hear, and the rest is still to come."""
    gate = Event()
    room = Room(ScriptedProvider(Start("id"), HI, gate.wait, STOP))
    turn = room.take(stream=stream)
    gate.set()
    assert list(turn.events())[:3] == [Start("id"), HI, STOP]
    turn.close()


@SHARED
def test_closed_unread(conversation: str | None) -> None:
    """A caller who goes after commit ends the upstream call."""
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    room.take(conversation_id=conversation).close()
    assert (room.told, provider.closed) == ([("scripted", "left", None)], 1)
    assert room.record.end == "caller_gone"


@SHARED
def test_closed_in_mid_sentence(conversation: str | None) -> None:
    """A caller who goes while the answer comes is told as such, with what was heard until then, and what it cost."""
    provider = ScriptedProvider(HI, Text(" there"), *ANSWER)
    room = Room(provider)
    turn = room.take(conversation_id=conversation)
    events = turn.events()
    assert [next(events), next(events)] == [HI, Text(" there")]
    turn.close(errors.CallerGone())
    assert (room.record.end, room.record.text_chars, provider.closed) == ("caller_gone", 8, 1)
    assert room.record.usage is not None
    assert room.record.usage.estimated


@SHARED
def test_a_caller_who_goes_after_the_finish_missed_nothing(conversation: str | None) -> None:
    """Once the finish is out the turn is complete, though nobody waits for the usage."""
    room = Room(ScriptedProvider(*ANSWER))
    turn = room.take(conversation_id=conversation)
    events = turn.events()
    while next(events) != STOP:
        pass
    turn.close(errors.CallerGone())
    assert (room.record.end, room.record.status) == ("completed", 200)


@pytest.mark.parametrize("before", [[Start("id")], [Start("id"), HI]])
@SHARED
def test_the_caller_goes_while_the_turn_waits(conversation: str | None, before: list[Step]) -> None:
    """Before the first word or after it, the upstream call ends at once, no other target is asked, nothing failed."""
    first = ScriptedProvider(*before, Event().wait, name="first")
    second = ScriptedProvider(*ANSWER, name="second")
    room = Room(first, second)
    person = listening(room, conversation_id=conversation)
    settle()
    person.hang_up()
    assert isinstance(person.wait().error, errors.CallerGone)
    assert (first.closed, second.begun) == (1, 0)
    assert room.told == [("first", "left", None)]
    assert (room.record.end, room.record.error) == ("caller_gone", None)
    assert room.record.status == (200 if HI in before else 499)


def test_closing_again_tells_nothing_more() -> None:
    """Every path closes, and only the first time counts."""
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    turn = room.take()
    list(turn.events())
    turn.close()
    turn.close(errors.CallerGone())
    turn.close(errors.ProviderBroken())
    assert (room.record.end, provider.closed) == ("completed", 1)


@SHARED
def test_a_failed_turn_is_closed_already(conversation: str | None) -> None:
    """What raised at the desk needs no closing; its error says that it was told."""
    room = Room(ScriptedProvider(errors.ProviderRequestRefused()))
    with pytest.raises(errors.ProviderRequestRefused) as caught:
        room.take(conversation_id=conversation)
    assert caught.value.accounted
    assert room.record.end == "invalid_request"
    assert room.desk.end_open_turns() == 0


@pytest.mark.parametrize("fault", [ValueError("odd"), KeyboardInterrupt()])
@SHARED
def test_a_fault_of_ours(conversation: str | None, fault: BaseException) -> None:
    """What nobody foresaw is told by its class and place, before commit and after it, and it is no success."""
    raised = errors.InternalError if isinstance(fault, Exception) else type(fault)
    for before in ([], [HI]):
        room = Room(ScriptedProvider(*before, fault), ScriptedProvider(*ANSWER, name="second"))
        with pytest.raises(raised):
            room.hear(stream=False, conversation_id=conversation)
        assert (room.record.end, room.record.status) == ("internal", 500)
        assert f"InternalError: {type(fault).__name__}" in (room.record.error or "")
        assert len(room.told) == 1


@SHARED
def test_a_provider_that_fails_to_close(conversation: str | None) -> None:
    """The turn is told all the same, as what it was."""
    provider = Clinging(*ANSWER)
    room = Room(provider)
    turn = room.take(conversation_id=conversation)
    next(turn.events())
    with contextlib.suppress(Exception):
        turn.close()
    turn.close()
    assert (room.record.end, room.told, provider.closed) == ("caller_gone", [("scripted", "left", None)], 1)
    assert room.desk.end_open_turns() == 0


def waiting(room: Room, **request: object) -> Person:
    """Let a caller ask, and wait."""
    person = listening(room, **request)
    settle()
    return person


@pytest.mark.parametrize("before", [[], [HI]], ids=["silent", "speaking"])
@SHARED
def test_the_server_stops(conversation: str | None, before: list[AnswerEvent]) -> None:
    """Turns that are still open when time is up are ended with an error of their own, and nobody goes on with them."""
    first = ScriptedProvider(*before, Event().wait, name="first")
    second = ScriptedProvider(*ANSWER, name="second")
    room = Room(first, second, apology="Sorry.")
    person = waiting(room, conversation_id=conversation)
    assert room.desk.end_open_turns() == 1
    settle()
    assert isinstance(person.wait().error, errors.ServerStopping)
    assert person.heard == before
    assert (first.closed, second.begun) == (1, 0)
    assert (room.record.end, room.record.status) == ("drained", 200 if before else 503)
    assert room.desk.end_open_turns() == 0


@SHARED
def test_who_asks_after_the_end_gets_a_status(conversation: str | None) -> None:
    """On a connection that is still open a new turn is refused and told, not begun and cut."""
    provider = ScriptedProvider(*ANSWER)
    room = Room(provider)
    room.desk.end_open_turns()
    with pytest.raises(errors.ServerStopping):
        room.take(conversation_id=conversation)
    assert (room.record.end, room.record.status, provider.begun) == ("drained", 503, 0)


def test_draining_lets_turns_be() -> None:
    """To be told of the stop ends nothing yet, and new turns are still taken."""
    gate = Event()
    room = Room(ScriptedProvider(HI, gate.wait, STOP, then=[ANSWER]))
    person = waiting(room)
    assert not room.desk.is_draining
    room.desk.is_draining = True
    assert spoken(room.hear()) == "Hi"
    gate.set()
    assert person.wait().heard[:2] == [HI, STOP]


def test_many_turns_at_once() -> None:
    """Each turn has its own answer and its own record."""
    gate = Event()
    room = Room(ScriptedProvider(gate.wait, *ANSWER))
    people = [listening(room, request_id=str(number)) for number in range(20)]
    settle()
    gate.set()
    assert [person.wait().heard for person in people] == [ANSWER] * 20
    assert sorted(int(record.request_id) for record in room.observer.records) == list(range(20))

"""Empty answers: a model that says nothing has failed, unless nothing is the right thing to say."""

from typing import Any, get_args

import pytest
from engine.rooms import ANSWER, HI, Room, spoken
from scripted import ScriptedProvider

from app.domain import errors
from app.domain.events import Event, Finish, FinishReason, Reasoning, Start, Text
from app.domain.request import Message, Tool, TurnRequest
from app.engine.attempt import silence_is_an_answer

SKIP_TURN: Tool = {"type": "function", "function": {"name": "skip_turn"}}
END_CALL: Tool = {"type": "function", "function": {"name": "end_call"}}
SILENT = ["", "...", "…", " ", "\n", " ... ", ". . ."]
WORDS = ["Hello", "... hello ...", "?", "0", ".!"]


def user(content: Any) -> Message:
    """Make a user's message."""
    return {"role": "user", "content": content}


@pytest.mark.parametrize("tools", [[SKIP_TURN], [END_CALL, SKIP_TURN]])
@pytest.mark.parametrize("said", SILENT)
def test_a_caller_who_says_nothing_may_get_nothing(said: str, tools: list[Tool]) -> None:
    """An agent that may skip its turn is not made to speak into a silence."""
    messages = [user("Hello"), {"role": "assistant", "content": "Hi"}, user(said)]
    assert silence_is_an_answer(TurnRequest(model="m", messages=messages, tools=tools))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        *(([user(said)], [SKIP_TURN]) for said in WORDS),
        *(([user(said)], tools) for said in SILENT for tools in ([], [END_CALL])),
        ([user(""), user("Hello")], [SKIP_TURN]),
        ([{"role": "system", "content": "..."}], [SKIP_TURN]),
        ([{"role": "assistant", "content": "..."}], [SKIP_TURN]),
        ([user([{"type": "text", "text": "..."}, {"type": "text", "text": "Hello"}])], [SKIP_TURN]),
        ([], [SKIP_TURN]),
    ],
)
def test_a_caller_who_says_something_gets_an_answer(messages: list[Message], tools: list[Tool]) -> None:
    """Silence is no answer to words, and none of an agent that was not allowed to wait."""
    assert not silence_is_an_answer(TurnRequest(model="m", messages=messages, tools=tools))


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": "..."}], [{"type": "text"}]])
def test_silence_in_every_form(content: Any) -> None:
    """A content is silent in whichever of its forms."""
    assert silence_is_an_answer(TurnRequest(model="m", messages=[user(content)], tools=[SKIP_TURN]))


@pytest.mark.parametrize("reason", get_args(FinishReason))
@pytest.mark.parametrize("before", [[], [Start("id"), Reasoning("hm"), Text("")]])
@pytest.mark.parametrize("is_silence", [False, True])
def test_a_finish_without_a_word(reason: FinishReason, before: list[Event], is_silence: bool) -> None:
    """It is an answer if a filter made it, or the silence was right; else another target is asked."""
    first = ScriptedProvider(*before, Finish(reason), name="first")
    room = Room(first, ScriptedProvider(*ANSWER, name="second"), retries=0)
    request = {"messages": [user("...")], "tools": [SKIP_TURN]} if is_silence else {}
    heard = room.hear(**request)
    if is_silence or reason == "content_filter":
        assert heard[:-1] == [*before, Finish(reason)]
        assert room.told == [("first", "answered", None)]
        assert room.record.first_speakable_ms is None
    else:
        assert heard == ANSWER
        assert room.told == [("first", "failed", "EmptyAnswer"), ("second", "answered", None)]
    assert first.closed == 1


@pytest.mark.usefixtures("quick_retries")
def test_an_empty_answer_is_asked_for_again() -> None:
    """It is chance, most likely: the same target may well say something the next time."""
    room = Room(ScriptedProvider(Finish("stop"), then=[ANSWER]))
    assert spoken(room.hear()) == "Hi"
    assert [error for _, _, error in room.told] == ["EmptyAnswer", None]


def test_nothing_but_empty_answers() -> None:
    """The caller hears of it, and is not left with a clean end that says nothing."""
    room = Room(ScriptedProvider(Finish("stop")), retries=0)
    with pytest.raises(errors.EmptyAnswer):
        room.hear()
    assert (room.record.end, room.record.status) == ("provider_error", 502)


class ClingingWhenEmpty(ScriptedProvider):
    """A provider that fails as its empty answer is closed."""

    def _answer(self, steps: object) -> Any:
        try:
            yield Finish("stop")
        finally:
            raise RuntimeError("cannot let go")


def test_an_empty_answer_that_cannot_be_closed() -> None:
    """The next target answers all the same."""
    first, second = ClingingWhenEmpty(name="first"), ScriptedProvider(HI, Finish("stop"), name="second")
    room = Room(first, second, retries=0)
    assert spoken(room.hear()) == "Hi"
    assert room.told[0][1] == "failed"

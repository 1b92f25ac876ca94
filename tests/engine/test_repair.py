"""Repair: whatever an interruption leaves behind, the history that goes upstream is one that every provider takes."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstreams.openai_rules import check

from app.domain.request import Message
from app.engine.repair import INTERRUPTED, place_before_repair, repaired


def calls(*ids: str, content: str | None = None) -> Any:
    """Make an assistant's message that calls tools."""
    function = {"name": "f", "arguments": "{}"}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": each, "type": "function", "function": function} for each in ids],
    }


def result(call: str, content: Any = "done") -> Any:
    """Make a tool's message."""
    return {"role": "tool", "tool_call_id": call, "content": content}


def stray(text: str) -> Any:
    """Make what becomes of a result that nobody asked for."""
    return {"role": "user", "content": f"[Result of a tool]\n{text}"}


SYSTEM: Any = {"role": "system", "content": "You are an agent."}
USER: Any = {"role": "user", "content": "Hi"}
SAID: Any = {"role": "assistant", "content": "Hello."}

GOOD: list[list[Any]] = [
    [SYSTEM],
    [SYSTEM, SAID, USER],
    [USER, calls("a"), result("a"), SAID],
    [USER, calls("a"), result("a")],
    [USER, calls("a", "b"), result("b"), result("a"), USER],
    [USER, calls("a"), result("a"), calls("b"), result("b")],
    [USER, calls("a"), result("a"), USER, calls("a"), result("a")],
]


@pytest.mark.parametrize("history", GOOD)
def test_a_good_history_is_left_alone(history: list[Any]) -> None:
    """Where nothing is wrong the very same list goes on."""
    assert repaired(history) is history


MENDED: list[tuple[list[Any], list[Any]]] = [
    ([USER, calls("a")], [USER, calls("a"), result("a", INTERRUPTED)]),
    ([USER, calls("a"), USER], [USER, calls("a"), result("a", INTERRUPTED), USER]),
    ([calls("a", "b"), result("b"), USER], [calls("a", "b"), result("b"), result("a", INTERRUPTED), USER]),
    ([calls("a"), calls("b"), result("b")], [calls("a"), result("a", INTERRUPTED), calls("b"), result("b")]),
    ([calls("a"), USER, result("a")], [calls("a"), result("a", INTERRUPTED), USER, stray("done")]),
    ([calls("a"), result("x"), result("a")], [calls("a"), result("a"), stray("done")]),
    ([calls("a"), result("a", "first"), result("a", "last")], [calls("a"), result("a", "last")]),
    ([USER, result("a")], [USER, stray("done")]),
    ([USER, result("a", [{"type": "text", "text": "parts"}])], [USER, stray("parts")]),
    ([result("a", "")], [stray("(nothing)")]),
]


@pytest.mark.parametrize(("history", "mended"), MENDED)
def test_mended(history: list[Any], mended: list[Any]) -> None:
    """A call without a result gets one that says so; a result without a call is not lost; the last one counts."""
    before = copy.deepcopy(history)
    assert repaired(history) == mended
    assert history == before


AUDIO: Message = {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("messages[4].content[0].type", "messages[3].content[0].type"),
        ("messages.[4].content", "messages[3].content"),
        ("messages[4]", "messages[3]"),
        ("messages[0].content", "messages[0].content"),
        ("messages[3].content", "messages"),
        ("messages[9]", "messages[9]"),
        ("messages", "messages"),
        ("tools[4].function", "tools[4].function"),
        (None, None),
    ],
)
def test_a_refused_field_is_named_as_the_caller_knows_it(param: str | None, told: str | None) -> None:
    """Results that were made up move what stands after them; the caller is told the place in the request that came."""
    messages = [SYSTEM, USER, calls("a"), AUDIO]
    assert place_before_repair(param, repaired(messages), messages) == told


IDS = st.sampled_from(["a", "b", "c"])
HISTORY = st.lists(
    st.sampled_from([SYSTEM, USER, SAID])
    | st.lists(IDS, min_size=1, max_size=3).map(lambda ids: calls(*ids))
    | st.builds(result, IDS, st.sampled_from(["done", ""])),
    min_size=1,
    max_size=9,
)


@settings(max_examples=300, deadline=None)
@given(HISTORY)
def test_any_history_is_one_that_openai_takes(history: list[Message]) -> None:
    """Calls and results in any order become a history that the strict API accepts, and mending it again is nothing."""
    mended = repaired(history)
    check({"model": "gpt-4o", "messages": mended})
    assert repaired(mended) is mended


@settings(max_examples=200, deadline=None)
@given(HISTORY)
def test_nothing_said_is_lost(history: list[Message]) -> None:
    """Every message that is no result stays, in its order."""
    kept = [message for message in repaired(history) if message in history and message["role"] != "tool"]
    assert kept == [message for message in history if message["role"] != "tool"]

"""Tool calls are numbered, named and completed, whatever way a provider splits them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.events import ToolCall
from app.providers.calls import ToolCalls

Piece = tuple[Any, str | None, str | None, str]


def events(pieces: list[Piece]) -> list[ToolCall]:
    """Give the pieces to the collector; the events, to the end."""
    calls = ToolCalls()
    read = [event for piece in pieces if (event := calls.piece(*piece)) is not None]
    return read + calls.finish()


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param(
            [(0, "a", "f", ""), (0, None, None, "{"), (0, None, None, ""), (0, None, None, "}")],
            [ToolCall(0, "a", "f", ""), ToolCall(0, arguments="{"), ToolCall(0, arguments="}")],
            id="OpenAI: a head, then fragments; an empty one says nothing",
        ),
        pytest.param(
            [(3, "a", "f", "{}"), (7, "b", "g", "{}")],
            [ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "g", "{}")],
            id="Anthropic: gaps in the numbers",
        ),
        pytest.param(
            [(0, "a", "f", "{}"), (0, "b", "f", "{}")],
            [ToolCall(0, "a", "f", "{}"), ToolCall(1, "b", "f", "{}")],
            id="Ollama: every index is 0, the ids differ",
        ),
        pytest.param(
            [(0, "a", "f", "{"), (0, "b", "g", "{"), (0, None, None, "}")],
            [ToolCall(0, "a", "f", "{"), ToolCall(1, "b", "g", "{"), ToolCall(1, arguments="}")],
            id="every index is 0 and fragments follow: they belong to the latest call",
        ),
        pytest.param(
            [(0, "a", "f", '{"x"'), (0, "a", "f", ":1}")],
            [ToolCall(0, "a", "f", '{"x"'), ToolCall(0, arguments=":1}")],
            id="id and name repeated with each fragment",
        ),
        pytest.param(
            [(0, "a", "f", ""), (1, "b", "g", ""), (0, None, None, "{}")],
            [
                *[ToolCall(0, "a", "f", ""), ToolCall(1, "b", "g", "")],
                *[ToolCall(0, arguments="{}"), ToolCall(1, arguments="{}")],
            ],
            id="interleaved; the one without arguments gets an empty object",
        ),
        pytest.param([(0, None, None, "{}"), (0, "a", None, "{}"), (0, "a", "", "{}")], [], id="a call without a name"),
    ],
)
def test_pieces(pieces: list[Piece], expected: list[ToolCall]) -> None:
    """Each way that a server is known to send calls gives the same kind of events."""
    assert events(pieces) == expected


def test_a_call_without_an_id_gets_one() -> None:
    """Where a server gives no id, the call has one of its own, so that its result can name it."""
    first, second = events([(0, None, "f", "{}"), (1, "", "f", "{}")])
    assert first.id is not None
    assert second.id is not None
    assert first.id.startswith("call_")
    assert first.id != second.id


def test_the_number_of_calls() -> None:
    """A collector is true once it has a call."""
    calls = ToolCalls()
    assert len(calls) == 0
    calls.piece(5, "a", "f", "")
    assert len(calls) == 1
    assert calls.finish() == [ToolCall(0, arguments="{}")]
    assert calls.finish() == []


ARGUMENTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3)


@given(st.lists(ARGUMENTS, max_size=5), st.data())
def test_fragments_of_any_calls_add_up(calls: list[dict[str, Any]], data: st.DataObject) -> None:
    """However the arguments are cut and however the calls are interleaved, each one's arguments are whole JSON."""
    queues: list[list[Piece]] = []
    for number, arguments in enumerate(calls):
        text = json.dumps(arguments) if arguments else ""
        at = data.draw(st.integers(0, len(text)))
        key = number * 2 + 1
        rest: list[Piece] = [(key, None, None, text[:at]), (key, None, None, text[at:])]
        queues.append([(key, f"id{number}", f"f{number}", ""), *rest])
    pieces = []
    while queues:
        queue = data.draw(st.sampled_from(queues))
        pieces.append(queue.pop(0))
        queues = [each for each in queues if each]
    order = [piece[1] for piece in pieces if piece[1]]
    whole: dict[int, str] = {}
    for event in events(pieces):
        whole[event.index] = whole.get(event.index, "") + event.arguments
    assert [json.loads(whole[index]) for index in sorted(whole)] == [calls[int(str(name)[2:])] for name in order]

"""Servers that speak OpenAI's API in a way of their own: what they mean is heard, and their failures are no answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from providers.contract import called
from providers.hostile import Formats, streamed
from providers.joined import joined
from upstreams.openai import DONE, chunk, sse

from app.domain import errors
from app.domain.events import Event, Finish, Reasoning, Text, ToolCall, Usage

JSON = dict[str, Any]
END = chunk({}, "stop")


@pytest.fixture(scope="module")
def formats() -> Iterator[Formats]:
    """Both formats; only OpenAI's is asked."""
    with Formats() as running:
        yield running


def call(name: str | None, arguments: Any, **more: Any) -> JSON:
    """Make a piece of a tool call; None for what is left out."""
    function = {"name": name, "arguments": arguments}
    return {**more, "function": {key: value for key, value in function.items() if value is not None}}


def calls(*pieces: JSON, finish: str | None = None, **delta: Any) -> bytes:
    """Make a chunk of pieces of tool calls."""
    return chunk({**delta, "tool_calls": list(pieces)}, finish)


TWO = [("f", '{"x":1}'), ("g", '{"y":2}')]
TWICE = [("f", '{"x":1}'), ("f", '{"y":2}')]
ONE = [("f", '{"x":1}')]
X, Y = '{"x":1}', '{"y":2}'

# What is odd, the stream, and the names and arguments of the calls that it means.
CALLS: list[tuple[str, list[bytes], list[tuple[str, str]]]] = [
    ("every index is 0, the ids differ", [calls(call("f", X, index=0, id="a")), calls(call("g", Y, index=0, id="b"))],
        TWO),
    ("every index is 0, in one chunk", [calls(call("f", X, index=0, id="a"), call("g", Y, index=0, id="b"))], TWO),
    ("every index is 0, in pieces",
        [calls(call("f", '{"x"', index=0, id="a")), calls(call(None, ":1}", index=0)),
         calls(call("g", "", index=0, id="b")), calls(call(None, Y, index=0))], TWO),
    ("every index is 0, one function twice",
        [calls(call("f", X, index=0, id="a")), calls(call("f", Y, index=0, id="b"))], TWICE),
    ("no index, in one chunk", [calls(call("f", X, id="a"), call("g", Y, id="b"))], TWO),
    ("no index, in two chunks", [calls(call("f", X, id="a")), calls(call("g", Y, id="b"))], TWO),
    ("no index, one in pieces", [calls(call("f", '{"x"', id="a")), calls(call(None, ":1}", id="", type=""))], ONE),
    ("no id", [calls(call("f", X, index=0)), calls(call("g", Y, index=1))], TWO),
    ("no id, every index is 0", [calls(call("f", X, index=0)), calls(call("g", Y, index=0))], TWO),
    ("no id, every index is 0, one function twice", [calls(call("f", X, index=0)), calls(call("f", Y, index=0))],
        TWICE),
    ("empty ids, every index is 0, one function twice",
        [calls(call("f", X, index=0, id="")), calls(call("f", Y, index=0, id=""))], TWICE),
    ("neither id nor index, in one chunk", [calls(call("f", X), call("f", Y))], TWICE),
    ("neither id, index nor arguments, in one chunk", [calls(call("f", None), call("f", None))],
        [("f", "{}"), ("f", "{}")]),
    ("neither id nor index, in two chunks", [calls(call("f", X)), calls(call("f", Y))], TWICE),
    ("neither id nor index, in pieces, then another",
        [calls(call("f", "")), calls(call(None, '{"x"')), calls(call(None, ":1}")), calls(call("g", Y))], TWO),
    ("no id, no arguments, another function", [calls(call("f", None, index=0)), calls(call("g", None, index=0))],
        [("f", "{}"), ("g", "{}")]),
    ("the id again in each piece",
        [calls(call("f", '{"x"', index=0, id="a")), calls(call(None, ":1}", index=0, id="a"))], ONE),
    ("the name again in each piece",
        [calls(call("f", '{"x"', index=0, id="a")), calls(call("f", ":1}", index=0))], ONE),
    ("name and id again in each piece",
        [calls(call("f", "", index=0, id="a")), calls(call("f", '{"x":', index=0, id="a")),
         calls(call("f", "1}", index=0, id="a"))], ONE),
    ("the name again in each piece, no id",
        [calls(call("f", "", index=0)), calls(call("f", '{"x":', index=0)), calls(call("f", "1}", index=0)),
         calls(call("f", "", index=0))], ONE),
    ("an empty name in each further piece", [calls(call("f", "", index=0, id="a")), calls(call("", X, index=0, id=""))],
        ONE),
    ("another id with each piece",
        [calls(call("f", "", index=0, id="r1")), calls(call(None, '{"x":', index=0, id="r2")),
         calls(call(None, "1}", index=0, id="r3"))], ONE),
    ("arguments as an object",
        [calls(call("f", {"x": 1}, index=0, id="a"), call("g", {"y": 2}, index=1, id="b"))], TWO),
    ("content beside the calls", [calls(call("f", X, index=0, id="a"), content=""), calls(content=None)], ONE),
]  # fmt: skip


@pytest.mark.parametrize("end", [END + DONE, END, chunk({}, "tool_calls") + DONE, DONE])
@pytest.mark.parametrize(("stream", "made"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_tool_calls(formats: Formats, stream: list[bytes], made: list[tuple[str, str]], end: bytes) -> None:
    """However calls are numbered, named and cut, each comes out once, whole, with an id, and ends the answer."""
    events = formats.ask("openai", streamed(b"".join(stream) + end))
    whole = called(events)
    assert [(name, arguments) for _, name, arguments in whole.values()] == made
    assert len({call_id for call_id, _, _ in whole.values()}) == len(made)
    assert events[-1] == Finish("tool_calls")


def choice(**fields: Any) -> bytes:
    """Make a chunk with one choice, of these fields alone."""
    return sse({"choices": [fields]})


def counted(prompt: Any, completion: Any) -> JSON:
    """Make a usage without details."""
    return {"prompt_tokens": prompt, "completion_tokens": completion}


A, B, STOP = Text("A"), Text("B"), Finish("stop")
SAID = chunk({"content": "A"})

STREAMS: list[tuple[str, list[bytes], list[Event]]] = [
    ("a finish together with text", [chunk({"content": "A"}, "stop"), DONE], [A, STOP]),
    ("a finish together with a call", [calls(call("f", X, index=0, id="a"), finish="stop"), DONE],
        [ToolCall(0, "a", "f", X), Finish("tool_calls")]),
    ("an empty finish in each chunk", [choice(delta={"content": "A"}, finish_reason=""), END], [A, STOP]),
    ("content of null", [SAID, chunk({"content": None}), END, DONE], [A, STOP]),
    ("an empty delta", [SAID, chunk({}), chunk({"content": "B"}), END, DONE], [A, B, STOP]),
    ("no delta", [SAID, choice(index=0), choice(delta=None), choice(finish_reason="stop"), DONE], [A, STOP]),
    ("no choices", [SAID, sse({"choices": None}), sse({"choices": []}), sse({}), chunk({"content": "B"}), END],
        [A, B, STOP]),
    ("an empty list of calls", [chunk({"content": "A", "tool_calls": []}), chunk({"tool_calls": None}), END],
        [A, STOP]),
    ("usage in each chunk, with choices",
        [chunk({"content": "A"}, usage=counted(9, 1)), chunk({"content": "B"}, usage=counted(9, 2)),
         chunk({}, "stop", usage=counted(9, 3)), DONE],
        [A, B, STOP, Usage(9, 3)]),
    ("usage in each chunk, without choices",
        [SAID, chunk(None, usage=counted(9, 1)), END, chunk(None, usage=counted(9, 2)), DONE], [A, STOP, Usage(9, 2)]),
    ("usage, then null", [chunk({"content": "A"}, usage=counted(9, 1)), chunk({}, "stop", usage=None), DONE],
        [A, STOP, Usage(9, 1)]),
    ("usage of text", [SAID, END, chunk(None, usage=counted("9", "2")), DONE], [A, STOP, Usage(9, 2)]),
    ("usage of fractions", [SAID, END, chunk(None, usage=counted(9.0, 2.0)), DONE], [A, STOP, Usage(9, 2)]),
    ("usage that is none", [SAID, END, chunk(None, usage=[]), DONE], [A, STOP]),
    ("words in parts", [chunk({"content": [{"type": "text", "text": "A"}, {"type": "reference"}, {"type": "text"},
                                           {"type": "text", "text": "B"}]}), END], [Text("AB"), STOP]),
    ("thinking as an object", [chunk({"content": "A", "reasoning": {"effort": "low"}}), END], [A, STOP]),
    ("thinking in details", [chunk({"content": "A", "reasoning": "Hm", "reasoning_details": [{}]}), END],
        [A, Reasoning("Hm"), STOP]),
    ("a role alone, again and again", [chunk({"role": "assistant"}), SAID, chunk({"role": "assistant"}), END],
        [A, STOP]),
    ("a reason of its own", [SAID, chunk({}, "eos_token"), DONE], [A, STOP]),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(formats: Formats, stream: list[bytes], events: list[Event]) -> None:
    """Fields that are missing, empty, of another type or said twice change nothing of what is said."""
    assert formats.ask("openai", streamed(b"".join(stream))) == joined(events)


FAILURES: list[tuple[str, bytes, type[errors.ProviderError]]] = [
    ("an object", sse({"error": {"message": "Busy", "type": "overloaded"}}), errors.ProviderOverloaded),
    ("a text", sse({"error": "Busy"}), errors.ProviderError),
    ("an object with a status", sse({"error": {"message": "Slow down", "code": 429}}), errors.ProviderRateLimited),
    ("beside choices", sse({"error": {"code": 503}, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}),
        errors.ProviderOverloaded),
    ("without `error` around it", sse({"object": "error", "message": "Busy", "type": "x", "code": 503}),
        errors.ProviderOverloaded),
    ("a finish of `error`", chunk({}, "error"), errors.ProviderBroken),
    ("a finish of `network_error`", chunk({}, "network_error"), errors.ProviderBroken),
    ("a finish of `insufficient_system_resource`", chunk({}, "insufficient_system_resource"), errors.ProviderBroken),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
@pytest.mark.parametrize("before", [b"", SAID])
def test_failures(formats: Formats, before: bytes, event: bytes, expected: type[errors.ProviderError]) -> None:
    """However a server says that it failed, with [DONE] after it or not, it is no clean end."""
    assert type(formats.fails("openai", streamed(before + event + DONE))) is expected


def test_an_answer_about_errors(formats: Formats) -> None:
    """What only speaks of errors is an answer."""
    about = sse({"object": "chat.completion.chunk", "id": "error"}) + chunk({"content": '{"object":"error"}'})
    assert formats.ask("openai", streamed(about + END)) == [Text('{"object":"error"}'), STOP]

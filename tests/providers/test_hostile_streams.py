"""Streams that no API promises: each comes to the words and calls that it means, or to ProviderBroken, in both formats.

Every stream is sent twice, in one packet and in packets of a few bytes: what comes of it is the same.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from providers.contract import called
from providers.hostile import FORMATS, Formats, streamed
from providers.joined import joined
from upstreams.anthropic import event
from upstreams.anthropic import usage as tokens
from upstreams.openai import DONE, chunk, sse, usage

from app.domain import errors
from app.domain.events import Event, Finish, Text, ToolCall, Usage

SIZES = [None, 3]


@pytest.fixture(scope="module")
def formats() -> Iterator[Formats]:
    """Both formats."""
    with Formats() as running:
        yield running


def said(text: str) -> bytes:
    """Make OpenAI's chunk of words."""
    return chunk({"content": text})


def calls(*pieces: Any) -> bytes:
    """Make OpenAI's chunk of pieces of tool calls."""
    return chunk({"tool_calls": list(pieces)})


def more(index: int, arguments: str | None) -> dict[str, Any]:
    """Make a further piece of OpenAI's tool call."""
    return {"index": index, "function": {"arguments": arguments}}


def head(index: int, call_id: str, **function: Any) -> dict[str, Any]:
    """Make the first piece of OpenAI's tool call."""
    return {"index": index, "id": call_id, "type": "function", "function": {"name": f"f_{call_id}", **function}}


def delta(index: int, **fields: Any) -> bytes:
    """Make Anthropic's delta, of the kind that its field has."""
    kind = {"text": "text_delta", "partial_json": "input_json_delta"}[next(iter(fields))]
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def tool(index: int, call_id: str, **fields: Any) -> bytes:
    """Make the beginning of Anthropic's tool_use block."""
    block = {"type": "tool_use", "id": call_id, "name": f"f_{call_id}", **fields}
    return event("content_block_start", index=index, content_block=block)


END = chunk({}, "stop")
BEGIN = event("message_start", message={"id": "msg_1", "role": "assistant", "usage": tokens(9, 1)})
STOP = event("message_stop")
BARE = event("message_start", message={"id": "msg_1"})
FINISHED = Finish("stop")
WORDS = "a\u2028b\u2029c\x85d"
PLAIN = {
    "openai": said(WORDS) + said("!") + END + DONE,
    "anthropic": BARE + delta(0, text=WORDS) + delta(0, text="!") + STOP,
}

WRITTEN: dict[str, Callable[[bytes], bytes]] = {
    "as the API does, with U+2028 in the text": lambda stream: stream,
    "CRLF": lambda stream: stream.replace(b"\n", b"\r\n"),
    "CR": lambda stream: stream.replace(b"\n", b"\r"),
    "a byte order mark": lambda stream: b"\xef\xbb\xbf" + stream,
    "no space after the colon": lambda stream: stream.replace(b": ", b":"),
    "more blank lines": lambda stream: b"\n\n" + stream.replace(b"\n\n", b"\n\n\n\n"),
    "data in several lines": lambda stream: stream.replace(b'{"', b'{\ndata: "').replace(b"}\n", b"\ndata: }\n"),
    "several lines with CRLF": lambda stream: stream.replace(b'{"', b'{\ndata: "').replace(b"\n", b"\r\n"),
    "comments": lambda stream: b": hello\n\n" + stream.replace(b"\n\n", b"\n: wait\n\n:\n\n"),
    "fields of no use": lambda stream: stream.replace(b"data:", b"id: 7\nretry: 5\nnever: heard\ndata:"),
    "events without data": lambda stream: stream.replace(b"\n\n", b"\n\nevent: ping\n\ndata\n\ndata:\n\n"),
    "no blank line at the end": lambda stream: stream.removesuffix(b"\n\n"),
    "no line end at the end, CRLF": lambda stream: stream.replace(b"\n", b"\r\n").removesuffix(b"\n\r\n"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("way", WRITTEN)
def test_ways_to_write_a_stream(formats: Formats, format: str, way: str, size: int | None) -> None:  # noqa: A002
    """Line ends, comments, pings and lines that the standard of server-sent events allows change no word."""
    stream = WRITTEN[way](PLAIN[format])
    assert formats.ask(format, streamed(stream, size)) == [Text(WORDS + "!"), FINISHED]


CALL = [ToolCall(0, "a", "f_a"), ToolCall(0, arguments="{}"), Finish("tool_calls")]

STREAMS: list[tuple[str, str, bytes, list[Event]]] = [
    ("no [DONE]", "openai", said("A") + END, [Text("A"), FINISHED]),
    ("usage in the last chunk", "openai", said("A") + END + chunk(None, usage=usage(9, 2)) + DONE,
        [Text("A"), FINISHED, Usage(9, 2)]),
    ("usage in the last chunk, no [DONE]", "openai", said("A") + END + chunk(None, usage=usage(9, 2)),
        [Text("A"), FINISHED, Usage(9, 2)]),
    ("usage in the last event", "anthropic",
        BARE + delta(0, text="A") + event("message_delta", delta={}, usage=tokens(9, 2)) + STOP,
        [Text("A"), FINISHED, Usage(9, 2)]),
    ("usage in the first event alone", "anthropic", BEGIN + delta(0, text="A") + STOP,
        [Text("A"), FINISHED, Usage(9, 1)]),
    ("usage of null", "anthropic",
        BARE + delta(0, text="A") + event("message_delta", delta={"stop_reason": "end_turn"}, usage=None) + STOP,
        [Text("A"), FINISHED]),
    ("pings", "anthropic", event("ping") + BARE + event("ping") + delta(0, text="A") + event("ping") + STOP,
        [Text("A"), FINISHED]),
    ("a duplicate role", "openai", chunk({"role": "assistant", "content": "A"}) * 2 + END + DONE,
        [Text("A"), Text("A"), FINISHED]),
    ("a duplicate beginning", "anthropic", BARE + BARE + delta(0, text="A") + STOP, [Text("A"), FINISHED]),
    ("no beginning", "anthropic", delta(0, text="A") + STOP, [Text("A"), FINISHED]),
    ("words after the finish", "openai", said("A") + END + said("B") + calls(head(0, "b")) + END + DONE,
        [Text("A"), FINISHED]),
    ("words after [DONE]", "openai", said("A") + DONE + said("B") + END, [Text("A"), FINISHED]),
    ("an error after [DONE]", "openai", said("A") + DONE + sse({"error": "No"}), [Text("A"), FINISHED]),
    ("noise after [DONE]", "openai", said("A") + END + DONE + b"data: <html>\n\n", [Text("A"), FINISHED]),
    ("words after message_stop", "anthropic", BARE + delta(0, text="A") + STOP + delta(0, text="B") + STOP,
        [Text("A"), FINISHED]),
    ("an error after message_stop", "anthropic", BARE + delta(0, text="A") + STOP + event("error", error={"type": "x"}),
        [Text("A"), FINISHED]),
    ("noise after message_stop", "anthropic", BARE + delta(0, text="A") + STOP + b"data: <html>\n\n",
        [Text("A"), FINISHED]),
    ("[DONE] after message_stop", "anthropic", BARE + delta(0, text="A") + STOP + DONE, [Text("A"), FINISHED]),
    ("gaps in the numbers", "openai",
        calls(head(0, "a", arguments="{}")) + calls(head(2, "b", arguments="{")) + calls(more(2, "}")) + END,
        [ToolCall(0, "a", "f_a", "{}"), ToolCall(1, "b", "f_b", "{"), ToolCall(1, arguments="}"), CALL[2]]),
    ("gaps in the numbers", "anthropic",
        BARE + tool(4, "a") + tool(9, "b") + delta(9, partial_json="{}") + delta(4, partial_json='{"x":1}') + STOP,
        [CALL[0], ToolCall(1, "b", "f_b"), ToolCall(1, arguments="{}"), ToolCall(0, arguments='{"x":1}'), CALL[2]]),
    ("every block has the number 0", "anthropic",
        BARE + delta(0, text="A") + tool(0, "a") + delta(0, partial_json="{}") + tool(0, "b") + STOP,
        [Text("A"), *CALL[:2], ToolCall(1, "b", "f_b"), ToolCall(1, arguments="{}"), CALL[2]]),
    ("a piece of a block that never began", "anthropic", BARE + delta(3, partial_json="{}") + delta(0, text="A") + STOP,
        [Text("A"), FINISHED]),
    *[(f"arguments of {given}", "openai", calls(head(0, "a", **given)) + END + DONE, CALL)
        for given in ({}, {"arguments": None}, {"arguments": ""})],
    ("arguments of an empty object", "openai", calls(head(0, "a", arguments={})) + END + DONE,
        [ToolCall(0, "a", "f_a", "{}"), CALL[2]]),
    ("arguments in empty pieces", "openai",
        calls(head(0, "a")) + calls(more(0, "")) + calls(more(0, None)) + calls({"index": 0}) + END, CALL),
    *[(f"input of {given}", "anthropic", BARE + tool(0, "a", **given) + STOP, CALL)
        for given in ({}, {"input": None}, {"input": {}})],
    ("input in empty pieces", "anthropic", BARE + tool(0, "a", input={}) + delta(0, partial_json="") * 2 + STOP, CALL),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("format", "stream", "events"), [row[1:] for row in STREAMS], ids=[f"{row[1]}, {row[0]}" for row in STREAMS]
)
def test_streams(formats: Formats, format: str, stream: bytes, events: list[Event], size: int | None) -> None:  # noqa: A002
    """Each oddity of a stream comes to the answer that it means, and calls are whole and in order."""
    heard = formats.ask(format, streamed(stream, size))
    assert heard == joined(events)
    called(heard)


DEEP = b"[" * 5000 + b"]" * 5000
NOISE = {
    "half of JSON": b'data: {"choices":[{"delta"\n\n',
    "two objects": b"data: {} {}\n\n",
    "a page": b"data: <html>\n\n",
    "null": b"data: null\n\n",
    "a number": b"data: 5\n\n",
    "a string": b'data: "[DONE]"\n\n',
    "a list": b"data: [{}]\n\n",
    "no encoding": b'data: {"id":"\xc3\x28","type":"\xc3\x28"}\n\n',
    "half a character": rb'data: {"id":"\ud83d","type":"\ud83d"}' + b"\n\n",
    "a line break in a string": b'data: {"id":"a\ndata: b"}\n\n',
    "JSON without an end": b"data: " + b"[" * 1_000_000 + b"\n\n",
    "deep JSON": b'data: {"x":' + DEEP + b"}\n\n",
    "deep JSON as an error": b'data: {"error":{"x":' + DEEP + b"}}\n\n",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("case", NOISE)
def test_malformed_events(formats: Formats, format: str, case: str) -> None:  # noqa: A002
    """An event that cannot be read breaks the answer off, as the provider's failure: never a fault of this server."""
    first, rest = PLAIN[format].split(b"\n\n", 1)
    assert type(formats.fails(format, streamed(first + b"\n\n" + NOISE[case] + rest))) is errors.ProviderBroken


CUT = {
    "openai, neither finish nor [DONE]": ("openai", said("A")),
    "openai, half of the finish": ("openai", said("A") + END[:-20]),
    "openai, usage but no finish": ("openai", said("A") + chunk(None, usage=usage(9, 2))),
    "anthropic, no message_stop": (
        "anthropic",
        BARE + delta(0, text="A") + event("message_delta", delta={"stop_reason": "end_turn"}, usage=tokens(9, 2)),
    ),
    "anthropic, half of message_stop": ("anthropic", BARE + delta(0, text="A") + STOP[:-5]),
    "anthropic, [DONE] in its place": ("anthropic", BARE + delta(0, text="A") + DONE),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CUT)
def test_a_stream_without_its_end(formats: Formats, case: str, size: int | None) -> None:
    """An answer that ends in good order for HTTP but not for the vendor is ProviderBroken."""
    format, stream = CUT[case]  # noqa: A001
    assert type(formats.fails(format, streamed(stream, size))) is errors.ProviderBroken

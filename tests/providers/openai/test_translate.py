"""Chat Completions as pure functions: the body for OpenAI and those who speak like it; the events of a stream."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from upstreams.openai import DONE, chunk, sse, usage
from upstreams.openai_rules import check

from app.domain import errors
from app.domain.events import Event, Finish, Reasoning, Refusal, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.providers.openai.translate import AnswerReader, Dialect, failure_in_stream, to_body
from app.providers.sse import Decoder

JSON = dict[str, Any]
ABSENT: Any = object()
TOOL = {"type": "function", "function": {"name": "f"}}
OWN = {"include_usage": True, "include_obfuscation": False}
OTHERS = {"include_usage": True}

BODIES: list[tuple[str, Dialect, JSON, JSON]] = [
    ("streamed with usage, unpadded", "openai", {}, {"stream": True, "stream_options": OWN, "model": "gpt-4o"}),
    ("others know no padding", "compatible", {}, {"stream": True, "stream_options": OTHERS}),
    ("a limit", "openai", {"params": {"max_tokens": 5}}, {"max_completion_tokens": 5, "max_tokens": ABSENT}),
    ("others' limit", "compatible", {"params": {"max_tokens": 5}}, {"max_tokens": 5, "max_completion_tokens": ABSENT}),
    ("no limit", "openai", {}, {"max_completion_tokens": ABSENT, "max_tokens": ABSENT}),
    ("parameters", "openai", {"params": {"seed": 1, "stop": ["x"]}}, {"seed": 1, "stop": ["x"]}),
    ("tools", "openai", {"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": "auto"}),
    ("a choice without tools", "openai", {"tool_choice": "auto"}, {"tools": ABSENT, "tool_choice": ABSENT}),
    (
        "parallel calls without tools",
        "openai",
        {"params": {"parallel_tool_calls": False}},
        {"parallel_tool_calls": ABSENT},
    ),
    (
        "parallel calls",
        "openai",
        {"tools": [TOOL], "params": {"parallel_tool_calls": False}},
        {"parallel_tool_calls": False, "tool_choice": ABSENT},
    ),
    (
        "the platform's own fields stay here",
        "openai",
        {"extra": {"x": 1}, "conversation_id": "c", "request_id": "r", "include_usage": True},
        dict.fromkeys(("elevenlabs_extra_body", "extra", "conversation_id", "request_id", "include_usage"), ABSENT),
    ),
]


@pytest.mark.parametrize(("dialect", "fields", "expected"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_bodies(dialect: Dialect, fields: JSON, expected: JSON) -> None:
    """The body has what this server knows and nothing else, the strict rules take it, and the request is unchanged."""
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    request = TurnRequest(model="any", messages=messages, **fields)
    before = deepcopy(request)
    body = to_body(request, "gpt-4o", dialect)
    assert {name: body.get(name, ABSENT) for name in expected} == expected
    assert body["messages"] == messages
    assert request == before
    if dialect == "openai":
        check(msgspec.json.decode(msgspec.json.encode(body)))


BEGUN = Start("chatcmpl-upstream", "gpt-4o", "fp_upstream", "default")


def read(*stream: bytes) -> list[Event]:
    """Read a stream to its end, without its Start."""
    reader = AnswerReader()
    events = [each for payload in Decoder().feed(b"".join(stream)) for each in reader.read(payload)]
    events += reader.finish()
    return [event for event in events if not isinstance(event, Start)]


def calls(*pieces: JSON) -> bytes:
    """Make a chunk with pieces of tool calls."""
    return chunk({"tool_calls": list(pieces)})


def counted(prompt: int, completion: int, **more: int) -> JSON:
    """Make a usage without details."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


STREAMS: list[tuple[str, list[bytes], list[Event]]] = [
    ("nothing", [DONE], [Finish("stop")]),
    ("no [DONE]", [chunk({"content": "A"}, "stop")], [Text("A"), Finish("stop")]),
    ("a bare [DONE]", [chunk({"content": "A"}), DONE], [Text("A"), Finish("stop")]),
    *[
        (f"finish {theirs}", [chunk({"content": "A"}), chunk({}, theirs), DONE], [Text("A"), Finish(ours)])  # type: ignore[arg-type]
        for theirs, ours in [
            *[("stop", "stop"), ("length", "length"), ("content_filter", "content_filter")],
            *[("tool_calls", "tool_calls"), ("function_call", "tool_calls"), ("eos", "stop")],
        ]
    ],
    (
        "tool calls that end with stop",
        [calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}), chunk({}, "stop"), DONE],
        [ToolCall(0, "a", "f", "{}"), Finish("tool_calls")],
    ),
    (
        "tool calls that were cut",
        [calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}), chunk({}, "length"), DONE],
        [ToolCall(0, "a", "f", "{"), Finish("length")],
    ),
    (
        "arguments as an object, no index",
        [
            calls(
                {"id": "a", "function": {"name": "f", "arguments": {"x": "é"}}},
                {"id": "b", "function": {"name": "g", "arguments": None}},
            ),
            chunk({}, "tool_calls"),
        ],
        [
            *[ToolCall(0, "a", "f", '{"x":"é"}'), ToolCall(1, "b", "g"), ToolCall(1, arguments="{}")],
            Finish("tool_calls"),
        ],
    ),
    ("a piece of no call", [calls({"index": 0}, {"index": 0, "function": {}}), DONE], [Finish("stop")]),
    (
        "thinking, under both names",
        [chunk({"reasoning_content": "Hm"}), chunk({"reasoning": "So"}), chunk({"content": "A"}, "stop"), DONE],
        [Reasoning("Hm"), Reasoning("So"), Text("A"), Finish("stop")],
    ),
    ("a refusal", [chunk({"refusal": "No."}), chunk({}, "stop"), DONE], [Refusal("No."), Finish("stop")]),
    (
        "logprobs as they came",
        [chunk({"content": "A"}, logprobs={"content": [1]}), chunk({}, "stop"), DONE],
        [Text("A", {"content": [1]}), Finish("stop")],
    ),
    (
        "usage in a chunk of its own",
        [chunk({"content": "A"}, "stop"), chunk(None, usage=usage(9, 5, cached=4, reasoning=3)), DONE],
        [Text("A"), Finish("stop"), Usage(9, 5, cached_tokens=4, reasoning_tokens=3)],
    ),
    (
        "usage in every chunk",
        [chunk({"content": "A"}, usage=counted(9, 1)), chunk({}, "stop", usage=counted(9, 2)), DONE],
        [Text("A"), Finish("stop"), Usage(9, 2)],
    ),
    (
        "usage of nulls",
        [chunk({}, "stop", usage={"prompt_tokens": None, "prompt_tokens_details": None}), DONE],
        [Finish("stop"), Usage()],
    ),
    (
        "nothing after the finish is said",
        [chunk({"content": "A"}, "stop"), chunk({"content": "B"}), chunk({}, "stop"), DONE],
        [Text("A"), Finish("stop")],
    ),
    (
        "choices that are not there",
        [sse({"id": "x", "choices": None}), sse({"choices": [], "prompt_filter_results": []}), sse({}), DONE],
        [Finish("stop")],
    ),
    (
        "deltas of nulls",
        [
            sse({"choices": [{"delta": None}]}),
            sse({"choices": [{"delta": {"content": None, "tool_calls": None}, "finish_reason": ""}]}),
            chunk({"content": "A", "tool_calls": []}, "stop"),
        ],
        [Text("A"), Finish("stop")],
    ),
]


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams(stream: list[bytes], events: list[Event]) -> None:
    """Each way that a server is known to stream comes to the same kind of events."""
    assert read(*stream) == events


def test_the_answer_is_named_once() -> None:
    """The first chunk gives the answer's own names, and no later one does."""
    reader = AnswerReader()
    events = [e for p in Decoder().feed(chunk({"content": "A"}) * 2 + DONE) for e in reader.read(p)]
    assert events == [BEGUN, Text("A"), Text("A")]
    assert list(AnswerReader().read(b'{"choices":[{}]}')) == [Start()]
    assert list(AnswerReader().read(b'{"choices":[],"id":""}')) == []


@pytest.mark.parametrize("stream", [[], [chunk({"content": "A"})], [chunk({}), chunk(None, usage=usage(1, 1))]])
def test_a_stream_without_its_end(stream: list[bytes]) -> None:
    """An answer with neither a finish_reason nor [DONE] was cut."""
    with pytest.raises(errors.ProviderBroken):
        read(*stream)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'"x"', b'{"choices":5}', b'{"choices":[{"delta":{"content":5}}]}', b"\xff"]
)
def test_what_is_no_chunk(payload: bytes) -> None:
    """What cannot be read is ProviderBroken."""
    with pytest.raises(errors.ProviderBroken):
        list(AnswerReader().read(payload))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "x", "type": "server_error", "param": None, "code": None}, errors.ProviderError),
        ({"message": "x", "type": "rate_limit_error"}, errors.ProviderRateLimited),
        ({"message": "x", "type": "rate_limit_exceeded", "code": "rate_limit_exceeded"}, errors.ProviderRateLimited),
        ({"message": "x", "type": "tokens", "code": "rate_limit_exceeded"}, errors.ProviderRateLimited),
        ({"message": "x", "type": "insufficient_quota", "code": None}, errors.ProviderRateLimited),
        ({"message": "x", "type": None, "code": "context_length_exceeded"}, errors.ContextTooLong),
        ({"message": "x", "type": "overloaded"}, errors.ProviderOverloaded),
        ({"message": "x", "type": "invalid_request_error", "code": "bad"}, errors.ProviderRequestRefused),
        ({"message": "x", "code": 429}, errors.ProviderRateLimited),
        ({"message": "x", "code": 503, "type": "unavailable_error"}, errors.ProviderOverloaded),
        (
            {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size"},
            errors.ContextTooLong,
        ),
        ("It broke", errors.ProviderError),
        ([], errors.ProviderError),
        ({}, errors.ProviderError),
        ({"message": 5, "type": 5, "code": {}}, errors.ProviderError),
    ],
)
def test_errors_in_the_stream(error: Any, expected: type[errors.ProviderError]) -> None:
    """An error object of any server, in mid-stream, is the error that it names."""
    with pytest.raises(errors.ProviderError) as failed:
        read(chunk({"content": "A"}), sse({"error": error}), DONE)
    assert type(failed.value) is expected
    assert type(failure_in_stream(error)) is expected

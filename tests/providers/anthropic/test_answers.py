"""The response direction of docs/anthropic.md, case by case: what Anthropic streams, and the events."""

from typing import Any

import pytest
from upstreams.anthropic import event

from app.domain import errors
from app.domain.events import Event, Finish, Reasoning, Start, Text, ToolCall, Usage
from app.providers.anthropic.answers import FINISH_REASONS, AnswerReader, failure_in_stream
from app.providers.sse import Decoder

START = event("message_start", message={"id": "msg_1", "model": "claude-x"})
STOP = event("message_stop")
BEGUN = Start("msg_1", "claude-x")


def read(*events: bytes, names: dict[str, str] | None = None) -> list[Event]:
    """Read a stream to its end."""
    reader = AnswerReader(names or {})
    payloads = Decoder().feed(b"".join(events))
    return [each for payload in payloads for each in reader.read(payload)] + list(reader.finish())


def block(index: int, **fields: Any) -> bytes:
    """Begin a content block."""
    return event("content_block_start", index=index, content_block=fields)


def delta(index: int, type: str, **fields: Any) -> bytes:  # noqa: A002
    """Continue a content block."""
    return event("content_block_delta", index=index, delta={"type": type, **fields})


def stopped(reason: str | None, **usage: Any) -> bytes:
    """Say why it stopped, and count."""
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


def counted(**usage: Any) -> bytes:
    """Begin a message with counts."""
    return event("message_start", message={"id": "msg_1", "model": "claude-x", "usage": usage})


TOOL = [block(1, type="tool_use", id="t1", name="f", input={}), delta(1, "input_json_delta", partial_json='{"a":1}')]
CALL = [ToolCall(0, "t1", "f"), ToolCall(0, arguments='{"a":1}')]

CASES: list[tuple[str, list[bytes], list[Event]]] = [
    *[
        (f"29 {theirs}", [START, stopped(theirs), STOP], [BEGUN, Finish(ours)])
        for theirs, ours in [
            *[("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("pause_turn", "length")],
            *[("model_context_window_exceeded", "length"), ("refusal", "content_filter"), ("never_heard_of", "stop")],
        ]
    ],
    ("29 none", [START, STOP], [BEGUN, Finish("stop")]),
    ("29 tool_use", [START, *TOOL, stopped("tool_use"), STOP], [BEGUN, *CALL, Finish("tool_calls")]),
    ("29 tools, end_turn", [START, *TOOL, stopped("end_turn"), STOP], [BEGUN, *CALL, Finish("tool_calls")]),
    ("29 tools, cut", [START, *TOOL, stopped("max_tokens"), STOP], [BEGUN, *CALL, Finish("length")]),
    (
        "30 a counter of its own",
        [
            START,
            block(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="Hm"),
            delta(0, "signature_delta", signature="c2ln"),
            block(2, type="tool_use", id="t1", name="f", input={}),
            delta(2, "input_json_delta", partial_json=""),
            delta(2, "input_json_delta", partial_json="{}"),
            block(5, type="tool_use", id="t2", name="g", input={}),
            STOP,
        ],
        [
            *[BEGUN, Reasoning("Hm"), ToolCall(0, "t1", "f"), ToolCall(0, arguments="{}"), ToolCall(1, "t2", "g")],
            *[ToolCall(1, arguments="{}"), Finish("tool_calls")],
        ],
    ),
    (
        "30 arguments in one piece",
        [START, block(0, type="tool_use", id="t1", name="f", input={"a": 1}), STOP],
        [BEGUN, ToolCall(0, "t1", "f", '{"a":1}'), Finish("tool_calls")],
    ),
    (
        "30 the server's own tools are not the caller's",
        [
            START,
            block(0, type="server_tool_use", id="s1", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"query":"x"}'),
            block(1, type="web_search_tool_result", tool_use_id="s1", content=[{"type": "web_search_result"}]),
            block(2, type="text", text=""),
            delta(2, "text_delta", text="Found"),
            delta(2, "citations_delta", citation={"type": "web_search_result_location", "url": "https://x"}),
            stopped("tool_use"),
            STOP,
        ],
        [BEGUN, Text("Found"), Finish("stop")],
    ),
    (
        "31 the counts are cumulative",
        [
            counted(input_tokens=10, output_tokens=1, cache_read_input_tokens=None),
            stopped("end_turn", output_tokens=5, cache_read_input_tokens=100, cache_creation_input_tokens=20),
            stopped(None, output_tokens=7, input_tokens=None),
            STOP,
        ],
        [BEGUN, Finish("stop"), Usage(130, 7, cached_tokens=100, cache_write_tokens=20)],
    ),
    ("31 no counts", [START, STOP], [BEGUN, Finish("stop")]),
    ("33 no id", [event("message_start", message={}), STOP], [Start(), Finish("stop")]),
    (
        "what nobody hears",
        [
            START,
            event("ping"),
            event("never_heard_of", index=0, delta={"type": "x", "text": "no"}),
            block(0, type="redacted_thinking", data="x"),
            block(1, type="text", text="Hel"),
            delta(1, "text_delta", text=""),
            delta(1, "text_delta", text="lo"),
            event("content_block_stop", index=1),
            STOP,
        ],
        [BEGUN, Text("Hel"), Text("lo"), Finish("stop")],
    ),
]


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_cases(stream: list[bytes], events: list[Event]) -> None:
    """Each case comes to the events that it means."""
    assert read(*stream) == events


@pytest.mark.parametrize("stream", [[], [START], [START, stopped("end_turn")], [START, *TOOL, stopped("tool_use")]])
def test_a_stream_without_its_end(stream: list[bytes]) -> None:
    """32: without message_stop the answer was cut, whatever it said of itself."""
    with pytest.raises(errors.ProviderBroken):
        read(*stream)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b'"x"', b'{"type":5}', b'{"type":"content_block_delta","delta":{"text":5}}']
)
def test_what_is_no_event(payload: bytes) -> None:
    """32: what cannot be read is ProviderBroken."""
    with pytest.raises(errors.ProviderBroken):
        list(AnswerReader({}).read(payload))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("invalid_request_error", errors.ProviderRequestRefused),
        ("authentication_error", errors.ProviderKeyRefused),
        ("billing_error", errors.ProviderKeyRefused),
        ("permission_error", errors.ProviderKeyRefused),
        ("not_found_error", errors.ProviderModelNotFound),
        ("timeout_error", errors.ProviderTimeout),
        ("request_too_large", errors.ProviderRequestTooLarge),
        ("rate_limit_error", errors.ProviderRateLimited),
        ("api_error", errors.ProviderError),
        ("overloaded_error", errors.ProviderOverloaded),
        ("never_heard_of", errors.ProviderError),
        (None, errors.ProviderError),
    ],
)
def test_errors_in_the_stream(kind: str | None, expected: type[errors.ProviderError]) -> None:
    """32, 35: an error event is the error of the status that its type stands for."""
    with pytest.raises(errors.ProviderError) as failed:
        read(START, event("error", error={"type": kind, "message": "words"}), STOP)
    assert type(failed.value) is expected
    assert isinstance(failure_in_stream({}), errors.ProviderError)


def test_names_are_given_back() -> None:
    """16: a tool that was sent under another name is called by its own."""
    events = read(START, block(0, type="tool_use", id="t", name="a_b_1", input={}), STOP, names={"a_b_1": "a b"})
    assert events[1] == ToolCall(0, "t", "a b")


def test_every_stop_reason_is_in_the_table() -> None:
    """29: those that the SDK knows, but what tools of the server's own add."""
    assert set(FINISH_REASONS) == {
        *("end_turn", "stop_sequence", "tool_use", "max_tokens", "model_context_window_exceeded", "pause_turn"),
        "refusal",
    }


def test_what_an_answer_can_do_without_may_be_of_any_type() -> None:
    """An odd id, name or count fails no answer; a count that is none is not counted."""
    begun = event("message_start", message={"id": 5, "model": None, "usage": "none"})
    words = [block(0, type="text", text=""), delta(0, "text_delta", text="Hi")]
    stream = [begun, *words, stopped("end_turn", output_tokens="5", input_tokens=3), STOP]
    assert read(*stream) == [Start("5"), Text("Hi"), Finish("stop"), Usage(prompt_tokens=3)]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"type":"error","error":"Overloaded"}', errors.ProviderError),
        (b'{"error":{"type":"overloaded_error"}}', errors.ProviderOverloaded),
        (b'{"type":"error"}', errors.ProviderError),
    ],
)
def test_errors_of_other_shapes(payload: bytes, expected: type[errors.ProviderError]) -> None:
    """A server that speaks the format roughly still says that it failed."""
    with pytest.raises(errors.ProviderError) as failed:
        list(AnswerReader({}).read(payload))
    assert type(failed.value) is expected

"""Upstreams from hell, through the whole gateway: an answer or an error in OpenAI's shape, and the worker lives on."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from api.client import Reply, chat
from gateway import Gateway
from upstreams import Answer, AnthropicUpstream, OpenAIUpstream, Send, Upstream
from upstreams.anthropic import event
from upstreams.openai import DONE, chunk, sse

FORMATS = ["openai", "anthropic"]
MODELS = {"openai": "vendor/hell", "anthropic": "claude-hell"}
SAID = {
    "openai": chunk({"content": "One "}),
    "anthropic": event("content_block_delta", index=0, delta={"type": "text_delta", "text": "One "}),
}
END = {"openai": chunk({}, "stop") + DONE, "anthropic": event("message_stop")}
DEEP = b"[" * 50_000 + b"]" * 50_000
JSON = {"content-type": "application/json"}


def streamed(*pieces: bytes) -> Answer:
    """Make a streamed answer of these bytes."""
    return Answer(headers={"content-type": "text/event-stream"}, steps=[Send(piece) for piece in pieces])


@pytest.fixture
def upstreams(vendor_upstream: OpenAIUpstream, anthropic_upstream: AnthropicUpstream) -> dict[str, Upstream]:
    """The upstream of each format."""
    return {"openai": vendor_upstream, "anthropic": anthropic_upstream}


@pytest.fixture(autouse=True, scope="module")
def _the_worker_lives_on(gateway: Gateway) -> Iterator[None]:
    """Hold a connection all the while: it lives as long as the worker does, and no turn was a fault of ours."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.connect()
    connection.auto_open = 0
    begun = len(gateway.lines)
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    yield
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    connection.close()
    lines = [line for line in gateway.lines[begun:] if isinstance(line, dict)]
    assert lines
    assert not [line for line in lines if line.get("end") == "internal" or line["event"] == "internal_error"]


NO_ANSWERS: dict[str, Answer] = {
    "a page": Answer.html(200),
    "an error page": Answer.html(503),
    "no body": Answer.empty(),
    "an error without a body": Answer.empty(500),
    "a whole answer": Answer.json({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}),
    "plain words": Answer(headers={"content-type": "text/plain"}, steps=[Send(b"Hello")]),
    "half of JSON": streamed(b'data: {"choices"\n\n'),
    "deep JSON": streamed(b"data: " + DEEP + b"\n\n"),
    "a refusal of deep JSON": Answer(400, JSON, [Send(DEEP)]),
    "a redirect": Answer(302, {"location": "http://127.0.0.1:9/"}, [], "length"),
}


@pytest.mark.parametrize(("format", "stream"), [("openai", True), ("anthropic", False)])
@pytest.mark.parametrize("case", NO_ANSWERS)
def test_no_answer(gateway: Gateway, upstreams: dict[str, Upstream], case: str, format: str, stream: bool) -> None:  # noqa: A002
    """What is no answer is an error in JSON, with a status that puts the blame where it is: no 200, and no 500."""
    model = MODELS[format]
    upstreams[format].answers[model.removeprefix("vendor/")] = NO_ANSWERS[case]
    reply = chat(gateway, model, stream=stream)
    assert reply.status == {"an error page": 503, "a refusal of deep JSON": 400}.get(case, 502)
    assert_error_alone(reply)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("noise", [b"data: " + DEEP + b"\n\n", b""], ids=["deep JSON", "nothing"])
def test_it_breaks_off(
    gateway: Gateway, upstreams: dict[str, Upstream], noise: bytes, format: str, stream: bool  # noqa: A002
) -> None:  # fmt: skip
    """After the first words a stream ends with an error and without [DONE]; what is not streamed is an error alone."""
    model = MODELS[format]
    upstreams[format].answers[model.removeprefix("vendor/")] = streamed(SAID[format], noise)
    reply = chat(gateway, model, stream=stream)
    if stream:
        assert reply.status == 200
        assert [each["choices"][0]["delta"].get("content") for each in reply.events[:-1]] == ["", "One "]
        assert_error(reply.events[-1])
    else:
        assert reply.status == 502
        assert_error_alone(reply)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("format", FORMATS)
def test_what_comes_after_the_end(
    gateway: Gateway, upstreams: dict[str, Upstream], format: str, stream: bool  # noqa: A002
) -> None:  # fmt: skip
    """An answer that is complete stays so, whatever its upstream sends behind it."""
    model = MODELS[format]
    upstreams[format].answers[model.removeprefix("vendor/")] = streamed(SAID[format] + END[format] + b"data: {\n\n")
    reply = chat(gateway, model, stream=stream)
    assert reply.text == "One "
    assert reply.events[-1] == "[DONE]" if stream else reply.json["choices"][0]["finish_reason"] == "stop"


def assert_error_alone(reply: Reply) -> None:
    """Hold an answer that is an error against its content type and shape."""
    assert reply.headers["content-type"] == "application/json"
    assert_error(reply.json)


def assert_error(body: dict[str, Any]) -> None:
    """Hold an error against OpenAI's shape."""
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]


CALLS: dict[str, list[bytes]] = {
    "neither id, index nor arguments": [chunk({"tool_calls": [{"function": {"name": "end_call"}}]})],
    "two of one number, without ids": [
        chunk({"tool_calls": [{"index": 0, "function": {"name": "end_call", "arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "skip_turn", "arguments": '{"a":1}'}}]}),
    ],
    "a gap before the first": [chunk({"tool_calls": [{"index": 7, "id": "a", "function": {"name": "end_call"}}]})],
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("case", CALLS)
def test_odd_calls_arrive_whole(gateway: Gateway, vendor_upstream: OpenAIUpstream, case: str, stream: bool) -> None:
    """Calls that a vendor numbers in a way of its own reach the caller numbered from 0, named, and with whole JSON."""
    vendor_upstream.answers["odd"] = streamed(*CALLS[case], chunk({}, "stop"), sse({"choices": None}), DONE)
    reply = chat(gateway, "vendor/odd", stream=stream)
    made = _streamed_calls(reply) if stream else reply.json["choices"][0]["message"]["tool_calls"]
    assert all(call["id"] for call in made)
    assert [call["function"]["name"] for call in made] == ["end_call", "skip_turn"][: len(CALLS[case])]
    arguments = [json.loads(call["function"]["arguments"]) for call in made]
    assert arguments == [{}, {"a": 1}][: len(CALLS[case])]


def _streamed_calls(reply: Reply) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for each in reply.events[:-1]:
        for piece in each["choices"][0]["delta"].get("tool_calls", []):
            if "id" in piece:
                assert piece["index"] == len(made)
                made.append(piece)
            else:
                made[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return made

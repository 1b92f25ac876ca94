"""The scripted OpenAI refuses what the real one refuses, and answers in its bytes."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from . import Answer, Cut, Hold, OpenAIUpstream, Reset, Send, Wait
from .openai import DONE, chunk, error, sse, text_answer, tool_answer, usage

USER = {"role": "user", "content": "Hello there"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "end_call", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": ""}
TOOL = {"type": "function", "function": {"name": "end_call", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIUpstream]:
    """Serve for the whole module; each test scripts a model of its own."""
    with OpenAIUpstream() as server:
        yield server


def call(
    upstream: OpenAIUpstream,
    body: Any,
    method: str = "POST",
    path: str = "/v1/chat/completions",
    key: str | None = None,
) -> tuple[int, bytes]:
    """Make one request; its status and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)) as client:
        headers = {
            "authorization": f"Bearer {upstream.key if key is None else key}",
            "content-type": "application/json",
        }
        client.request(method, path, body if isinstance(body, str) else json.dumps(body), headers)
        response = client.getresponse()
        return response.status, response.read()


def events(upstream: OpenAIUpstream, **body: Any) -> list[Any]:
    """Stream an answer; its chunks, without what every one has alike."""
    status, data = call(upstream, {"messages": [USER], "stream": True, **body})
    assert status == 200
    *lines, last = data.decode().strip().split("\n\n")
    assert last == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def messages(*given: Any) -> dict[str, Any]:
    """Make a body's messages."""
    return {"messages": list(given)}


# What the real API takes, what it refuses beside it, and `param` and `code` of the refusal.
RULES: list[tuple[dict[str, Any], dict[str, Any], str | None, str | None]] = [
    ({"seed": 1}, {"elevenlabs_extra_body": {}}, None, None),
    ({"user": "u"}, {"user_id": "u"}, None, None),
    ({"temperature": 0.5}, {"temperature": "0.5"}, "temperature", "invalid_type"),
    ({"temperature": None}, {"temperature": True}, "temperature", "invalid_type"),
    ({"tools": [TOOL]}, {"tools": None}, "tools", "invalid_type"),
    ({"stop": "x"}, {"stop": 1}, "stop", "invalid_type"),
    ({"stop": ["x"]}, {"stop": [1]}, "stop", "invalid_type"),
    ({"max_tokens": 5}, {"max_tokens": 5.5}, "max_tokens", "invalid_type"),
    (messages(USER), {"messages": ["hello"]}, None, "invalid_type"),
    ({"temperature": 2}, {"temperature": 2.1}, "temperature", "decimal_above_max_value"),
    ({"temperature": 0}, {"temperature": -0.1}, "temperature", "decimal_below_min_value"),
    ({"top_p": 1}, {"top_p": 1.1}, "top_p", "decimal_above_max_value"),
    ({"frequency_penalty": -2}, {"frequency_penalty": -3}, "frequency_penalty", "decimal_below_min_value"),
    ({"presence_penalty": 2}, {"presence_penalty": 3}, "presence_penalty", "decimal_above_max_value"),
    ({"max_tokens": 1}, {"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
    ({"max_completion_tokens": 1}, {"max_completion_tokens": 0}, "max_completion_tokens", "integer_below_min_value"),
    ({"max_tokens": 5}, {"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_parameter_combination"),
    ({"stop": ["a"] * 4}, {"stop": ["a"] * 5}, "stop", "array_above_max_length"),
    ({"verbosity": "low"}, {"verbosity": "loud"}, "verbosity", "invalid_value"),
    (messages(USER), messages(), "messages", "empty_array"),
    (messages({"role": "developer", "content": "x"}), messages({"role": "bot"}), "messages[0].role", "invalid_value"),
    (messages(USER), messages({"role": "user"}), "messages.[0].content", None),
    (messages({**USER, "content": ""}), messages({**USER, "content": None}), "messages.[0].content", None),
    (
        messages({"role": "assistant", "content": "x"}),
        messages({"role": "assistant", "content": None}),
        "messages.[0].content",
        None,
    ),
    (
        messages({**USER, "content": [{"type": "text", "text": "x"}]}),
        messages({**USER, "content": [{"type": "video"}]}),
        "messages.[0].content[0].type",
        "invalid_value",
    ),
    (messages({**USER, "name": "a-b"}), messages({**USER, "name": "a b"}), "messages[0].name", "invalid_value"),
    (messages(CALLS, RESULT, USER), messages(CALLS, USER), "messages.[1].role", None),
    (messages(CALLS, RESULT), messages(CALLS), "messages.[1].role", None),
    (
        messages(CALLS, RESULT),
        messages({**CALLS, "tool_calls": [CALL, {**CALL, "id": "call_2"}]}, RESULT, USER),
        "messages.[2].role",
        None,
    ),
    (messages(CALLS, RESULT), messages(USER, RESULT), "messages.[1].role", None),
    (messages(CALLS, RESULT), messages(CALLS, RESULT, RESULT), "messages.[2].role", None),
    (messages(CALLS, RESULT), messages({**CALLS, "tool_calls": []}), "messages[0].tool_calls", "empty_array"),
    ({"tools": [TOOL], "tool_choice": "auto"}, {"tool_choice": "auto"}, "tool_choice", None),
    ({"tools": [TOOL], "tool_choice": "none"}, {"tools": [TOOL], "tool_choice": "any"}, "tool_choice", "invalid_value"),
    ({"tools": [TOOL], "parallel_tool_calls": False}, {"parallel_tool_calls": False}, "parallel_tool_calls", None),
    ({"tools": [TOOL]}, {"tools": []}, "tools", "empty_array"),
    (
        {"tools": [TOOL]},
        {"tools": [{"type": "function", "function": {"name": "end call"}}]},
        "tools[0].function.name",
        "invalid_value",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "a" * 64}}]},
        {"tools": [{"type": "function", "function": {"name": "a" * 65}}]},
        "tools[0].function.name",
        "invalid_value",
    ),
    ({"stream": True, "stream_options": {}}, {"stream_options": {"include_usage": True}}, "stream_options", None),
    ({"logprobs": True, "top_logprobs": 2}, {"top_logprobs": 2}, "top_logprobs", None),
    (
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "xml"}},
        "response_format.type",
        "invalid_value",
    ),
    *[
        row
        for model in ("gpt-5.5", "gpt-6-sol", "o3-mini", "o1", "o4-mini")
        for row in [
            (
                {"model": model, "max_completion_tokens": 9},
                {"model": model, "max_tokens": 9},
                "max_tokens",
                "unsupported_parameter",
            )
        ]
    ],
    (
        {"model": "gpt-5.5", "temperature": 1},
        {"model": "gpt-5.5", "temperature": 0.5},
        "temperature",
        "unsupported_value",
    ),
    (
        {"model": "gpt-5.5", "temperature": 0.5, "reasoning_effort": "none"},
        {"model": "gpt-5.5", "temperature": 0.5, "reasoning_effort": "low"},
        "temperature",
        "unsupported_value",
    ),
    (
        {"model": "gpt-6-sol", "reasoning_effort": "none"},
        {"model": "gpt-6-sol", "reasoning_effort": "none", "temperature": 1},
        "temperature",
        "unsupported_parameter",
    ),
    *[
        ({"model": model, "tools": [TOOL], "reasoning_effort": "none"}, bad, "reasoning_effort", None)
        for model, bad in [
            ("gpt-5.6-luna", {"model": "gpt-5.6-luna", "tools": [TOOL], "reasoning_effort": "low"}),
            ("gpt-5.6-luna", {"model": "gpt-5.6-luna", "tools": [TOOL]}),
            ("gpt-6-sol", {"model": "gpt-6-sol", "tools": [TOOL], "reasoning_effort": "low"}),
        ]
    ],
    ({"model": "gpt-6-sol", "tools": [TOOL]}, {"model": "gpt-4o", "reasoning_effort": "none"}, None, None),
    ({}, {"model": "no-such-model"}, None, "model_not_found"),
]


@pytest.mark.parametrize(("good", "bad", "param", "code"), RULES)
def test_each_rule(upstream: OpenAIUpstream, good: Any, bad: Any, param: str | None, code: str | None) -> None:
    """Each rule takes the good form, and refuses the bad one in OpenAI's shape."""
    status, data = call(upstream, {"model": "gpt-4o", "messages": [USER], **good})
    assert status == 200, data
    status, data = call(upstream, {"model": "gpt-4o", "messages": [USER], **bad})
    refusal = json.loads(data)["error"]
    assert (status, refusal["param"], refusal["code"]) == (404 if code == "model_not_found" else 400, param, code)
    assert refusal["type"] == "invalid_request_error"
    assert refusal["message"]


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_model_and_messages_are_required(upstream: OpenAIUpstream, missing: str) -> None:
    """A body without one of the two is refused by name."""
    status, data = call(
        upstream, {name: value for name, value in [("model", "m"), ("messages", [USER])] if name != missing}
    )
    assert (status, json.loads(data)["error"]["param"]) == (400, missing)


def test_a_wrong_key_is_refused_with_a_part_of_it(upstream: OpenAIUpstream) -> None:
    """A 401 tells a part of the key, as the real one does, so that a test can see that it is never relayed."""
    status, data = call(upstream, {}, key="sk-wrong-1234567890")
    refusal = json.loads(data)["error"]
    assert (status, refusal["code"]) == (401, "invalid_api_key")
    assert "sk-wrong" in refusal["message"]
    assert "7890" in refusal["message"]
    assert call(upstream, {}, key="")[0] == 401


def test_other_paths_and_no_json(upstream: OpenAIUpstream) -> None:
    """An unknown path is 404 and a body that is no JSON is 400, in OpenAI's shape."""
    assert call(upstream, {}, path="/v1/responses")[0] == 404
    assert call(upstream, {}, path="/chat/completions")[0] == 404
    assert call(upstream, "{")[0] == 400
    assert json.loads(call(upstream, "{")[1])["error"]["type"] == "invalid_request_error"


def test_the_models(upstream: OpenAIUpstream) -> None:
    """Models are listed, found by id, or not found."""
    listed = json.loads(call(upstream, "", "GET", "/v1/models")[1])
    assert listed["object"] == "list"
    assert listed["data"][0] == json.loads(call(upstream, "", "GET", "/v1/models/gpt-6.2-astra")[1])
    status, data = call(upstream, "", "GET", "/v1/models/gpt-4-turbo")
    assert (status, json.loads(data)["error"]["code"]) == (404, "model_not_found")


def test_the_echo(upstream: OpenAIUpstream) -> None:
    """With no script, the last user message comes back word by word."""
    chunks = events(upstream, model="gpt-4o")
    deltas = [each["choices"][0]["delta"] for each in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert [delta.get("content") for delta in deltas[1:]] == ["You", " said:", " Hello", " there", None]


def test_the_chunks_of_a_text(upstream: OpenAIUpstream) -> None:
    """Obfuscation is there unless refused, usage only when asked for, one id and one time throughout, [DONE] last."""
    upstream.answers["text"] = text_answer(["Hi"], finish="length", usage=usage(3, 4, cached=2))
    plain = events(upstream, model="text")
    assert all("obfuscation" in each and "usage" not in each for each in plain)
    assert [each["choices"][0]["finish_reason"] for each in plain] == [None, None, "length"]
    assert plain[1]["choices"] == [{"index": 0, "delta": {"content": "Hi"}, "logprobs": None, "finish_reason": None}]
    asked = events(upstream, model="text", stream_options={"include_usage": True, "include_obfuscation": False})
    assert not any("obfuscation" in each for each in asked)
    assert [each["usage"] for each in asked[:-1]] == [None, None, None]
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    assert len({(each["id"], each["created"], each["model"]) for each in asked}) == 1


def test_the_chunks_of_tool_calls(upstream: OpenAIUpstream) -> None:
    """A lone call comes with the role, several after it; arguments follow in pieces by index."""
    upstream.answers["lone"] = tool_answer([("call_1", "a", ['{"x"', ":1}"])])
    deltas = [each["choices"][0]["delta"] for each in events(upstream, model="lone")]
    assert deltas[0]["role"] == "assistant"
    assert deltas[0]["tool_calls"][0]["function"] == {"name": "a", "arguments": ""}
    assert [delta["tool_calls"][0]["function"]["arguments"] for delta in deltas[:-1]] == ["", '{"x"', ":1}"]
    upstream.answers["two"] = tool_answer([("call_1", "a", ["{}"]), ("call_2", "b", ["{}"])], text=["Well"])
    deltas = [each["choices"][0]["delta"] for each in events(upstream, model="two")]
    assert deltas[:2] == [{"role": "assistant", "content": ""}, {"content": "Well"}]
    assert [delta["tool_calls"][0]["index"] for delta in deltas[2:-1]] == [0, 0, 1, 1]


def test_the_whole_answer(upstream: OpenAIUpstream) -> None:
    """A request that does not stream gets the same answer folded."""
    upstream.answers["whole"] = tool_answer([("call_1", "a", ['{"x"', Wait(0.001), ":1}"])], text=["Well", " then"])
    whole = json.loads(call(upstream, {"model": "whole", "messages": [USER]})[1])
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["choices"][0]["message"]["content"] == "Well then"
    function = {"name": "a", "arguments": '{"x":1}'}
    assert whole["choices"][0]["message"]["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]
    assert whole["usage"]["total_tokens"] > 0


def test_steps_among_the_pieces(upstream: OpenAIUpstream) -> None:
    """A stream can be cut or broken between any two pieces, and a whole answer too."""
    upstream.answers["cut"] = text_answer(["Hi", Cut()])
    with pytest.raises(http.client.IncompleteRead) as cut:
        call(upstream, {"model": "cut", "messages": [USER], "stream": True})
    assert b"Hi" in cut.value.partial
    upstream.answers["reset"] = text_answer(["Hi", Reset()])
    with pytest.raises(ConnectionResetError):
        call(upstream, {"model": "reset", "messages": [USER]})


def test_scripted_errors(upstream: OpenAIUpstream) -> None:
    """Errors come in OpenAI's shape before the stream, or raw in the middle of it; the models' list can fail too."""
    upstream.answers["limited"] = error(429, "Slow down", type="tokens", code="rate_limit_exceeded")
    assert call(upstream, {"model": "limited", "messages": [USER]})[0] == 429
    upstream.answers["mid"] = Answer(steps=[Send(chunk({"content": "Hi"})), Send(sse({"error": {}})), Send(DONE)])
    assert events(upstream, model="mid")[1] == {"error": {}}
    upstream.answers["GET /v1/models"] = error(500, "Oh")
    assert call(upstream, "", "GET", "/v1/models")[0] == 500


def test_leaving_a_scripted_stream_is_noticed(upstream: OpenAIUpstream) -> None:
    """A client that leaves a held completion is recorded as gone."""
    upstream.answers["held"] = text_answer(["Hi", Hold()])
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)) as client:
        body = json.dumps({"model": "held", "messages": [USER], "stream": True})
        client.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {upstream.key}"})
        response = client.getresponse()
        response.readline()
        response.close()
    assert upstream.requests[-1].client_gone.wait(5)

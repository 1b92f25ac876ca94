"""The scripted Anthropic refuses what the real one refuses, and answers in its events."""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from . import AnthropicUpstream, Cut, Wait
from .anthropic import Message, error, text_answer, text_block, thinking_block, tool_answer, usage
from .anthropic_messages import SIGNATURE

TEXT = {"type": "text", "text": "Hello there"}
BLANK = {"type": "text", "text": " "}
EMPTY = {"type": "text", "text": ""}
USER = {"role": "user", "content": "Hello there"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "end_call", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": ""}
TOOL = {"name": "end_call", "input_schema": {"type": "object", "properties": {}}}
IMAGE = {"type": "base64", "media_type": "image/png", "data": "aGk="}
MARK = {"cache_control": {"type": "ephemeral"}}
OLD = "2023-06-01"


@pytest.fixture(scope="module")
def upstream() -> Iterator[AnthropicUpstream]:
    """Serve for the whole module; each test scripts a model of its own."""
    with AnthropicUpstream() as server:
        yield server


def call(
    upstream: AnthropicUpstream, body: Any, method: str = "POST", path: str = "/v1/messages", **headers: str
) -> tuple[int, bytes]:
    """Make one request; its status and body. A header is left out by giving it empty."""
    given = {"x_api_key": upstream.key, "anthropic_version": "2026-10-21", **headers}
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)) as client:
        sent = {name.replace("_", "-"): value for name, value in given.items() if value}
        client.request(method, path, body if isinstance(body, str) else json.dumps(body), sent)
        response = client.getresponse()
        return response.status, response.read()


def events(upstream: AnthropicUpstream, **body: Any) -> list[Any]:
    """Stream an answer; the data of its events, each of which has its own type as the event's name."""
    status, data = call(upstream, {"messages": [USER], "max_tokens": 9, "stream": True, **body})
    assert status == 200, data
    read = []
    for each in data.decode().strip().split("\n\n"):
        name, content = each.split("\n")
        read.append(json.loads(content.removeprefix("data: ")))
        assert name == f"event: {read[-1]['type']}"
    return read


def user(*content: Any) -> dict[str, Any]:
    """Make a user turn of blocks."""
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    """Make an assistant turn of blocks."""
    return {"role": "assistant", "content": list(content)}


def turns(*messages: Any, **more: Any) -> dict[str, Any]:
    """Make a body's messages, with the tool declared."""
    return {"messages": list(messages), "tools": [TOOL], **more}


def tool(**changes: Any) -> dict[str, Any]:
    """Make a body with one tool."""
    return {"tools": [{**TOOL, **changes}]}


def choice(**fields: Any) -> dict[str, Any]:
    """Make a body with a tool and a choice."""
    return {"tools": [TOOL], "tool_choice": fields}


def thinking(model: str, kind: str, **more: Any) -> dict[str, Any]:
    """Make a body with a configuration of thinking, and room for its budget."""
    budget = {"budget_tokens": 1024} if kind == "enabled" else {}
    return {"model": model, "max_tokens": 2048, "thinking": {"type": kind, **budget, **more}}


# Case of facts/anthropic.md, what the real API takes, and what it refuses beside it.
RULES: list[tuple[int, dict[str, Any], dict[str, Any]]] = [
    (1, turns(USER, USER), turns()),
    (2, turns(USER), turns({"role": "user", "content": ""})),
    (2, turns(user(TEXT, BLANK)), turns(user(TEXT, EMPTY))),
    (2, turns(user(TEXT)), turns(user(BLANK))),
    (2, turns(user(TEXT)), turns({"role": "user", "content": "\n"})),
    (2, turns(user(TEXT)), turns(user())),
    (3, turns({"role": "assistant", "content": ""}, USER), turns(assistant(EMPTY, USE), user(RESULT))),
    (3, turns(assistant(), USER), turns(assistant(EMPTY), USER)),
    (4, {"system": ""}, {"system": "  "}),
    (4, {"system": [TEXT]}, {"system": [EMPTY]}),
    (4, {"system": []}, {"system": [BLANK]}),
    (5, {"model": "claude-haiku-4-5", **turns(USER, assistant(TEXT))}, turns(USER, assistant(TEXT))),
    (
        5,
        {"model": "claude-haiku-4-5", **turns(USER, assistant(TEXT))},
        {"model": "claude-haiku-4-5", **turns(USER, {"role": "assistant", "content": "Well "})},
    ),
    (5, turns(USER), {"model": "claude-sonnet-4-6", **turns(USER, assistant(TEXT))}),
    (6, {"system": "Be brief."}, turns({"role": "system", "content": "Be brief."}, USER)),
    (7, turns(assistant(TEXT), USER), turns()),
    (9, turns(assistant(USE), user(RESULT, TEXT)), turns(assistant(USE), user(TEXT, RESULT))),
    (10, turns(assistant(TEXT, USE), user(RESULT)), turns(assistant(TEXT, USE), USER)),
    (10, turns(assistant(USE), user(RESULT)), turns(assistant(USE))),
    (10, turns(assistant(USE), user(RESULT)), turns(assistant(USE, {**USE, "id": "toolu_2"}), user(RESULT), USER)),
    (10, turns(assistant(USE), user(RESULT)), turns(assistant(USE), USER, user(RESULT))),
    (11, turns(assistant(USE), user(RESULT)), turns(user(RESULT))),
    (11, turns(assistant(USE), user(RESULT)), turns(assistant(USE), user(RESULT, RESULT))),
    (12, turns(assistant(USE), user({**RESULT, "content": []})), turns(assistant(USE), user({**RESULT, "content": 1}))),
    (12, turns(assistant(USE), user({**RESULT, "content": " "})), turns(assistant(USE), user({**RESULT, "x": 1}))),
    (
        13,
        turns(assistant(USE), user(RESULT)),
        turns(assistant({**USE, "id": "a.b"}), user({**RESULT, "tool_use_id": "a.b"})),
    ),
    (14, turns(assistant(USE), user(RESULT)), turns(assistant({**USE, "input": "{}"}), user(RESULT))),
    (15, tool(), tool(input_schema={"properties": {}})),
    (15, tool(), tool(input_schema={"type": "string"})),
    (15, tool(), tool(input_schema={"type": "object", "anyOf": []})),
    (15, tool(), tool(input_schema=None)),
    (16, tool(description="Ends."), tool(description=None)),
    (16, tool(name="a" * 128), tool(name="a" * 129)),
    (16, tool(), tool(name="end call")),
    (16, {"tools": [TOOL, {**TOOL, "name": "b"}]}, {"tools": [TOOL, TOOL]}),
    (16, tool(strict=True), tool(parameters={})),
    (17, turns(assistant(USE), user(RESULT)), {"messages": [assistant(USE), user(RESULT)]}),
    (18, choice(type="auto", disable_parallel_tool_use=True), choice(type="none", disable_parallel_tool_use=True)),
    (18, choice(type="none"), choice(type="required")),
    (18, choice(type="auto"), {"tools": [TOOL], "tool_choice": "auto"}),
    (18, choice(type="auto"), {"tool_choice": {"type": "auto"}}),
    (
        18,
        {"model": "claude-haiku-4-5", **choice(type="tool", name="end_call")},
        {"model": "claude-haiku-4-5", **choice(type="tool", name="other")},
    ),
    (19, {"model": "claude-haiku-4-5", **choice(type="any")}, {"model": "claude-haiku-5-5", **choice(type="any")}),
    (
        19,
        {**thinking("claude-sonnet-5", "disabled"), **choice(type="any")},
        {"model": "claude-sonnet-5", **choice(type="any")},
    ),
    (
        19,
        {"model": "claude-haiku-4-5", **choice(type="any")},
        {**thinking("claude-haiku-4-5", "enabled"), **choice(type="any")},
    ),
    (20, {"max_tokens": 1}, {"max_tokens": 0}),
    (20, {"max_tokens": 1}, {"max_tokens": -1}),
    (20, {"max_tokens": 1}, {"max_tokens": None}),
    (20, {"model": "claude-haiku-4-5", "max_tokens": 64_000}, {"model": "claude-haiku-4-5", "max_tokens": 64_001}),
    (21, {}, {"temperature": 1}),
    (21, {}, {"model": "claude-haiku-4-5", "top_p": 1}),
    (21, {}, {"top_k": 5}),
    (22, {"stop_sequences": ["x"]}, {"stop_sequences": ["x", "\n"]}),
    (22, {"stop_sequences": []}, {"stop_sequences": "x"}),
    (23, {"metadata": {"user_id": "a1b2"}}, {"metadata": {"user_id": "ann@example.com"}}),
    (23, {"metadata": {}}, {"metadata": {"user": "a1b2"}}),
    (24, thinking("claude-opus-4-6", "enabled"), thinking("claude-opus-4-7", "enabled")),
    (24, thinking("claude-haiku-4-5", "enabled"), thinking("claude-haiku-5-5", "enabled")),
    (24, thinking("claude-sonnet-4-6", "enabled"), thinking("claude-sonnet-5", "enabled")),
    (24, thinking("claude-haiku-4-5", "enabled"), thinking("claude-haiku-4-5", "enabled", budget_tokens=2048)),
    (24, thinking("claude-haiku-4-5", "enabled"), thinking("claude-haiku-4-5", "adaptive")),
    (24, thinking("claude-opus-5", "disabled"), thinking("claude-opus-5-5", "disabled")),
    (24, thinking("claude-haiku-5-5", "disabled"), thinking("claude-fable-5-2", "disabled")),
    (24, thinking("claude-sonnet-5-5", "disabled"), thinking("claude-mythos-5", "disabled")),
    (24, thinking("claude-sonnet-5-5", "between_tools"), thinking("claude-sonnet-5", "between_tools")),
    (24, thinking("claude-opus-5-5", "adaptive"), thinking("claude-opus-5-5", "off")),
    (24, {"output_config": {"effort": "low"}}, {"output_config": {"effort": "none"}}),
    (24, {"output_config": {"effort": "low"}}, {"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}),
    (
        25,
        turns(
            assistant({"type": "thinking", "thinking": "Hm", "signature": f"{SIGNATURE}claude-sonnet-5"}, TEXT), USER
        ),
        turns(assistant({"type": "thinking", "thinking": "Hm", "signature": f"{SIGNATURE}claude-opus-5"}, TEXT), USER),
    ),
    (
        26,
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        {"output_config": {"format": {"type": "x"}}},
    ),
    (27, turns(user({**TEXT, **MARK}), tools=[{**TOOL, **MARK}]), turns(user(*[{**TEXT, **MARK}] * 5))),
    (27, {**MARK, "system": [{**TEXT, **MARK}] * 3}, {**MARK, "system": [{**TEXT, **MARK}] * 4}),
    (27, MARK, {"cache_control": {"type": "lasting"}}),
    (
        28,
        turns(user({"type": "image", "source": IMAGE})),
        turns(user({"type": "image_url", "image_url": {"url": "x"}})),
    ),
    (28, turns(user({"type": "image", "source": IMAGE})), turns(user({"type": "image", "source": {"type": "uri"}}))),
    (
        28,
        turns(user({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}})),
        turns(user({"type": "image", "source": {**IMAGE, "data": "data:image/png;base64,aGk="}})),
    ),
    (0, {"service_tier": "auto"}, {"stop": ["x"]}),
    (0, turns(USER), {"messages": "hello"}),
    (0, turns(USER), {"messages": ["hello"]}),
    (0, turns(USER), turns({**USER, "name": "Ann"})),
    (0, turns(USER), turns({"role": "tool", "content": "x"})),
    (0, turns(USER), turns(user({**TEXT, "extra": 1}))),
]

# What the refusal of each case says: a bad form must not be refused for another reason.
WORDS = {
    0: "not permitted|valid list|valid dictionary|role: Input",
    1: "at least one message",
    2: "non-empty|non-whitespace",
    3: "non-empty",
    4: "^system: text",
    5: "prefill|trailing whitespace",
    6: "top-level `system`",
    7: "at least one message",
    9: "without `tool_result` blocks immediately after",
    10: "without `tool_result` blocks immediately after",
    11: "unexpected `tool_use_id`|single result",
    12: r"tool_result\.(content|x)",
    13: "id: String should match",
    14: "input: Input should be a valid dictionary",
    15: "input_schema",
    16: r"tools\.0\.custom\.(name|description|parameters)|unique",
    17: "must define tools",
    18: "tool_choice|not found in provided tools",
    19: "not supported on this model|forces tool use",
    20: "^max_tokens",
    21: "(temperature|top_p|top_k): Extra inputs",
    22: "^stop_sequences",
    23: r"^metadata\.user",
    24: "thinking|effort",
    25: "Invalid `signature`",
    26: "output_config.format",
    27: "cache_control",
    28: "image",
}


def refused(upstream: AnthropicUpstream, body: dict[str, Any], status: int = 400, **headers: str) -> dict[str, Any]:
    """Make a request that is refused in Anthropic's shape; the error."""
    given, data = call(upstream, body, **headers)
    answer: dict[str, Any] = json.loads(data)
    assert given == status, answer
    assert (answer["type"], set(answer)) == ("error", {"type", "error", "request_id"})
    described: dict[str, Any] = answer["error"]
    return described


@pytest.mark.parametrize(("case", "good", "bad"), RULES)
def test_each_rule(upstream: AnthropicUpstream, case: int, good: Any, bad: Any) -> None:
    """Each rule takes the good form, and refuses the bad one in Anthropic's shape."""
    body = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": [USER]}
    status, data = call(upstream, {**body, **good})
    assert status == 200, data
    refusal = refused(upstream, {**body, **bad})
    assert refusal["type"] == "invalid_request_error"
    assert re.search(WORDS[case], refusal["message"]), "refused for another reason"


OLD_RULES = [
    ({"model": "claude-haiku-4-5", "temperature": 0.5}, {"model": "claude-haiku-4-5", "temperature": 1.1}),
    ({"model": "claude-haiku-4-5", "top_p": 0.5}, {"model": "claude-haiku-4-5", "top_p": 0.5, "temperature": 0.5}),
    ({"model": "claude-sonnet-5", "temperature": 1}, {"model": "claude-sonnet-5", "temperature": 0.5}),
    ({"model": "claude-opus-4-6", "temperature": 0}, {"model": "claude-opus-4-7", "temperature": 0}),
    ({"model": "claude-haiku-4-5", "top_k": 5}, {"model": "claude-haiku-5-5", "top_k": 5}),
]


@pytest.mark.parametrize(("good", "bad"), OLD_RULES)
def test_sampling_with_an_older_version(upstream: AnthropicUpstream, good: Any, bad: Any) -> None:
    """With an older version header, sampling is taken in range, one kind at a time, and by older models (21)."""
    body = {"max_tokens": 100, "messages": [USER]}
    assert call(upstream, {**body, **good}, anthropic_version=OLD)[0] == 200
    refused(upstream, {**body, **bad}, anthropic_version=OLD)


@pytest.mark.parametrize("missing", ["model", "messages", "max_tokens"])
def test_the_required_fields(upstream: AnthropicUpstream, missing: str) -> None:
    """A body without one of the three is refused by name."""
    body = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": [USER]}
    del body[missing]
    assert refused(upstream, body)["message"] == f"{missing}: Field required"


def test_keys_and_versions(upstream: AnthropicUpstream) -> None:
    """The key comes in either header; without it, or without a known version, nothing is served."""
    body = {"model": "claude-sonnet-5", "max_tokens": 100, "messages": [USER]}
    assert call(upstream, body, x_api_key="", authorization=f"Bearer {upstream.key}")[0] == 200
    assert refused(upstream, body, 401, x_api_key="")["type"] == "authentication_error"
    assert refused(upstream, body, 401, x_api_key="wrong")["type"] == "authentication_error"
    refused(upstream, body, anthropic_version="")
    refused(upstream, body, anthropic_version="2020-01-01")


def test_unknown_names_and_paths(upstream: AnthropicUpstream) -> None:
    """An unknown model or path is not found; a body that is no JSON is a bad request."""
    body = {"model": "no-such-model", "max_tokens": 100, "messages": [USER]}
    assert refused(upstream, body, 404) == {"type": "not_found_error", "message": "model: no-such-model"}
    assert call(upstream, body, path="/v1/complete")[0] == 404
    assert call(upstream, "{")[0] == 400


def test_the_models(upstream: AnthropicUpstream) -> None:
    """Models come in pages, with what each can do; one alone comes by its id, or not at all."""
    first = json.loads(call(upstream, "", "GET", "/v1/models?limit=2")[1])
    assert (first["has_more"], [each["id"] for each in first["data"]]) == (True, [first["first_id"], first["last_id"]])
    rest = json.loads(call(upstream, "", "GET", f"/v1/models?after_id={first['last_id']}")[1])
    assert (rest["has_more"], len(rest["data"])) == (False, len(upstream.models) - 2)
    alone = json.loads(call(upstream, "", "GET", f"/v1/models/{first['first_id']}")[1])
    assert alone == first["data"][0]
    assert (alone["type"], alone["display_name"], alone["max_tokens"]) == ("model", "Claude Opus 5.5", 128_000)
    assert alone["capabilities"]["thinking"]["types"]["disabled"] == {"supported": False}
    assert call(upstream, "", "GET", "/v1/models/claude-1")[0] == 404


def test_the_echo(upstream: AnthropicUpstream) -> None:
    """With no script, the last user message comes back word by word, in the full sequence of events."""
    read = events(upstream, model="claude-sonnet-5")
    deltas = ["content_block_delta"] * 4
    assert [each["type"] for each in read] == [
        *(
            "message_start",
            "content_block_start",
            "ping",
            *deltas,
            "content_block_stop",
            "message_delta",
            "message_stop",
        )
    ]
    assert "".join(each["delta"]["text"] for each in read[3:7]) == "You said: Hello there"
    assert read[0]["message"]["stop_reason"] is None
    assert read[-2]["delta"]["stop_reason"] == "end_turn"
    assert read[-2]["usage"]["output_tokens"] >= read[0]["message"]["usage"]["output_tokens"]


def test_the_events_of_tool_calls(upstream: AnthropicUpstream) -> None:
    """Text comes first, each call is a block; input comes in pieces after an empty one, or not at all."""
    upstream.answers["tools"] = tool_answer([("toolu_1", "a", ['{"x"', ":1}"]), ("toolu_2", "b", [])], text=["Well"])
    read = events(upstream, model="tools")
    starts = [each["content_block"] for each in read if each["type"] == "content_block_start"]
    assert [start["type"] for start in starts] == ["text", "tool_use", "tool_use"]
    assert starts[1] == {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {}}
    given = [(each["index"], each["delta"].get("partial_json")) for each in read if "index" in each and "delta" in each]
    assert given == [(0, None), (1, ""), (1, '{"x"'), (1, ":1}")]
    assert read[-2]["delta"]["stop_reason"] == "tool_use"


def test_the_whole_answer(upstream: AnthropicUpstream) -> None:
    """A request that does not stream gets the same answer folded, thinking signed for its model."""
    pieces = [thinking_block(["Hm"]), text_block(["Hel", Wait(0.001), "lo"])]
    upstream.answers["whole"] = Message(blocks=pieces, finish="max_tokens", usage=usage(1, 2, cache_read=3))
    whole = json.loads(call(upstream, {"model": "whole", "max_tokens": 9, "messages": [USER]})[1])
    assert (whole["type"], whole["role"], whole["stop_reason"]) == ("message", "assistant", "max_tokens")
    assert whole["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": f"{SIGNATURE}whole"},
        {"type": "text", "text": "Hello"},
    ]
    assert whole["usage"]["cache_read_input_tokens"] == 3
    signed = [each["delta"] for each in events(upstream, model="whole") if each["type"] == "content_block_delta"]
    assert [delta["type"] for delta in signed] == ["thinking_delta", "signature_delta", "text_delta", "text_delta"]


def test_usage_may_change_on_the_way(upstream: AnthropicUpstream) -> None:
    """Cache counts may be missing at the start and come with the end (31)."""
    upstream.answers["late"] = text_answer(["x"], usage=usage(1, 2, cache_read=9), usage_at_start={"input_tokens": 1})
    read = events(upstream, model="late")
    assert read[0]["message"]["usage"] == {"input_tokens": 1}
    assert read[-2]["usage"]["cache_read_input_tokens"] == 9


def test_scripted_failures(upstream: AnthropicUpstream) -> None:
    """Errors come in Anthropic's shape, and a stream can be cut between any two pieces."""
    upstream.answers["busy"] = error(529, "Overloaded", "overloaded_error", headers={"retry-after": "1"})
    body = {"model": "busy", "max_tokens": 9, "messages": [USER]}
    assert refused(upstream, body, 529)["type"] == "overloaded_error"
    upstream.answers["cut"] = text_answer(["Hi", Cut()])
    with pytest.raises(http.client.IncompleteRead) as cut:
        events(upstream, model="cut")
    assert b"Hi" in cut.value.partial

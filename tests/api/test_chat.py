"""POST /v1/chat/completions, over real HTTP: what a caller gets when all goes well."""

import json
import time

import pytest
from api.client import chat, request
from gateway import Gateway
from upstreams import AnthropicUpstream, OpenAIUpstream
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

PROVIDERS = ["gpt-4.1", "claude-haiku-4-5", "vendor/some-model"]
PATHS = [
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/chat/completions/chat/completions",
    "/chat/completions/chat/completions",
    "//chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_a_pasted_url_makes_answers(gateway: Gateway, path: str) -> None:
    """Whether the Server URL was pasted with /v1, without it, in full or with a slash, the agent is answered."""
    assert chat(gateway, "gpt-4.1", path=path).text == "You said: hello"


@pytest.mark.parametrize("model", PROVIDERS)
def test_a_stream_has_openais_shape(gateway: Gateway, model: str) -> None:
    """A role-only chunk, the words, an empty delta with the finish_reason, [DONE]; one id, the real time, our model."""
    before = int(time.time())
    reply = chat(gateway, model, stream=True)
    *chunks, done = reply.events
    assert done == "[DONE]"
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert chunks[0]["id"].startswith("chatcmpl-")
    assert all(before <= chunk["created"] <= time.time() for chunk in chunks)
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", model)}
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert all(list(choice["delta"]) == ["content"] for choice in choices[1:-1])
    assert "".join(choice["delta"]["content"] for choice in choices[1:-1]) == "You said: hello"
    assert choices[-1]["delta"] == {}
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert "usage" not in chunks[0]


@pytest.mark.parametrize("model", PROVIDERS)
def test_usage_comes_exactly_when_asked_for(gateway: Gateway, model: str) -> None:
    """With include_usage the last chunk before [DONE] has the provider's usage and no choices; without it none has."""
    *chunks, usage, _ = chat(gateway, model, stream=True, stream_options={"include_usage": True}).events
    assert usage["choices"] == []
    assert usage["usage"]["prompt_tokens"] > 0
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"]
    assert all(chunk["usage"] is None for chunk in chunks)


@pytest.mark.parametrize("model", [*PROVIDERS, "function-answer"])
def test_an_answer_that_is_not_streamed_is_the_same_answer(gateway: Gateway, model: str) -> None:
    """One chat.completion with the same words, finish_reason and usage."""
    answer = chat(gateway, model).json
    assert answer["object"] == "chat.completion"
    assert answer["model"] == model
    choice = answer["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "You said: hello", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] > 0


def test_headers_let_a_stream_through_proxies(gateway: Gateway) -> None:
    """No cache and no buffering in between, and the request can be found again in the log."""
    reply = chat(gateway, "gpt-4.1", stream=True, headers={"X-Request-Id": "call-17.turn-3"})
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-request-id"] == "call-17.turn-3"
    assert 0 < float(reply.headers["x-process-time"]) < 60
    [line] = gateway.turns(request_id="call-17.turn-3")
    assert (line["end"], line["target"], line["finish_reason"]) == ("completed", "openai/gpt-4.1", "stop")


def test_tool_calls_arrive_whole_whoever_makes_them(
    gateway: Gateway, openai_upstream: OpenAIUpstream, anthropic_upstream: AnthropicUpstream
) -> None:
    """Two calls in odd pieces come out as OpenAI's deltas, numbered from 0, and folded as whole calls."""
    calls = [("call_a", "end_call", ['{"rea', 'son": "b', 'ye"}']), ("call_b", "skip_turn", ["{", "}"])]
    openai_upstream.answers["gpt-tools"] = openai_script.tool_answer(calls)
    anthropic_upstream.answers["claude-tools"] = anthropic_script.tool_answer(calls)
    names = ("end_call", "skip_turn")
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]
    for model in ("gpt-tools", "claude-tools"):
        answer = chat(gateway, model, tools=tools).json["choices"][0]
        assert answer["finish_reason"] == "tool_calls"
        made = [(call["id"], call["function"]["name"]) for call in answer["message"]["tool_calls"]]
        assert made == [("call_a", "end_call"), ("call_b", "skip_turn")]
        arguments = [json.loads(call["function"]["arguments"]) for call in answer["message"]["tool_calls"]]
        assert arguments == [{"reason": "bye"}, {}]
        assert answer["message"]["content"] is None
        events = chat(gateway, model, tools=tools, stream=True).events
        pieces = [call for event in events[:-1] for call in event["choices"][0]["delta"].get("tool_calls", [])]
        assert [piece["index"] for piece in pieces if "id" in piece] == [0, 1]
        spoken = "".join(piece["function"]["arguments"] for piece in pieces if piece["index"] == 0)
        assert json.loads(spoken) == {"reason": "bye"}


def test_elevenlabs_own_request_is_accepted(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """The platform's documented example passes, and nothing of its own is sent to the model's provider."""
    body = {
        "messages": [
            {"role": "system", "content": "You are a receptionist."},
            {"role": "assistant", "content": "Hey I'm currently unavailable."},
            {"role": "user", "content": "Hey, who are you?"},
        ],
        "model": "gpt-4o",
        "temperature": 0.5,
        "max_tokens": 5000,
        "stream": True,
        "user_id": "caller-7",
        "elevenlabs_extra_body": {"UUID": "conversation-99", "parameter-1": "value-1"},
        "something_new": {"x": 1},
    }
    reply = request(gateway, "POST", "/v1/chat/completions", json.dumps(body))
    assert reply.text == "You said: Hey, who are you?"
    sent = openai_upstream.requests[-1].json
    assert sent["max_completion_tokens"] == 5000
    assert sent["user"] == "caller-7"
    assert not {"elevenlabs_extra_body", "something_new", "user_id", "max_tokens"} & sent.keys()
    assert gateway.turns(conversation_id="conversation-99")


def test_a_route_names_its_targets_and_defaults(gateway: Gateway, anthropic_upstream: AnthropicUpstream) -> None:
    """A public model name stands for a provider's model with parameters that the request may override."""
    assert chat(gateway, "receptionist").json["model"] == "receptionist"
    sent = anthropic_upstream.requests[-1].json
    assert (sent["model"], sent["max_tokens"]) == ("claude-haiku-4-5", 77)
    chat(gateway, "receptionist", max_tokens=5)
    assert anthropic_upstream.requests[-1].json["max_tokens"] == 5


def test_a_dead_target_gives_way_to_the_next(gateway: Gateway) -> None:
    """When the primary cannot be reached, the caller hears the next target and knows nothing of it."""
    reply = chat(gateway, "fallback", stream=True, headers={"X-Request-Id": "fallback-1"})
    assert reply.text == "You said: hello"
    [line] = gateway.turns(request_id="fallback-1")
    assert [attempt["target"] for attempt in line["attempts"]] == ["down/any", "down/any", "openai/gpt-fallback"]
    assert line["attempts"][0]["error"] == "ProviderUnreachable"


def test_a_function_is_a_model(gateway: Gateway) -> None:
    """Strings and events of a user's own generator reach the caller as any model's would."""
    assert chat(gateway, "function-answer", stream=True).text == "You said: hello"
    assert chat(gateway, "function-whole").text == "1 messages"
    choice = chat(gateway, "function-events").json["choices"][0]
    assert choice["message"]["content"] == "One moment."
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "end_call"
    assert choice["finish_reason"] == "tool_calls"


def test_a_functions_tool_call_is_made_whole(gateway: Gateway) -> None:
    """A call without an id gets one, without arguments an empty object; what comes after the finish is not heard."""
    choice = chat(gateway, "function-unnamed").json["choices"][0]
    [call] = choice["message"]["tool_calls"]
    assert call["id"].startswith("call_")
    assert call["function"] == {"name": "end_call", "arguments": "{}"}
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")


def test_what_one_provider_cannot_take_the_next_may(gateway: Gateway) -> None:
    """Audio has no place in Anthropic's API: the route's next target is asked."""
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "hello"}, audio]}]
    assert chat(gateway, "hearing", messages=messages).status == 200
    refused = chat(gateway, "claude-haiku-4-5", messages=messages)
    assert (refused.status, refused.json["error"]["code"]) == (400, "content_not_supported")


def test_thinking_is_shown_only_where_a_route_wants_it(gateway: Gateway, anthropic_upstream: AnthropicUpstream) -> None:
    """Reasoning is never in content; a route may ask for it as reasoning_content, streamed and not."""
    blocks = [anthropic_script.thinking_block(["Let me ", "think."]), anthropic_script.text_block(["Hello."])]
    anthropic_upstream.answers["claude-thinking"] = anthropic_script.Message(blocks=blocks)
    for stream in (True, False):
        shown, hidden = chat(gateway, "thinking", stream=stream), chat(gateway, "claude-thinking", stream=stream)
        assert (shown.text, hidden.text) == ("Hello.", "Hello.")
        assert b"reasoning_content" not in hidden.body
    assert shown.json["choices"][0]["message"]["reasoning_content"] == "Let me think."


def test_turn_two_sends_the_prefix_of_turn_one(gateway: Gateway, anthropic_upstream: AnthropicUpstream) -> None:
    """System prompt and tools are cached by default, and the next turn's bytes begin as this one's did."""
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("a", "b")]
    history = [{"role": "system", "content": "Be brief. " * 2000}, {"role": "user", "content": "one"}]
    chat(gateway, "claude-haiku-4-5", messages=history, tools=tools)
    first = anthropic_upstream.requests[-1].json
    history += [{"role": "assistant", "content": "You said: one"}, {"role": "user", "content": "two"}]
    chat(gateway, "claude-haiku-4-5", messages=history, tools=tools)
    second = anthropic_upstream.requests[-1].json
    assert json.dumps([first["tools"], first["system"]]) == json.dumps([second["tools"], second["system"]])
    assert json.dumps(second["messages"]).startswith(json.dumps(first["messages"])[:-1])
    assert first["system"][-1]["cache_control"] == first["cache_control"] == {"type": "ephemeral"}


def test_unicode_split_across_packets_stays_whole(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """Characters whose bytes arrive in different packets are not broken."""
    words = "Grüße, 你好, 👋🏽"
    whole = openai_script.chunk({"role": "assistant", "content": words}) + openai_script.chunk({}, "stop")
    from upstreams import Answer, Split

    openai_upstream.answers["gpt-split"] = Answer(
        headers={"Content-Type": "text/event-stream"}, steps=[Split(whole + openai_script.DONE, 1)]
    )
    assert chat(gateway, "gpt-split", stream=True).text == words

"""Learning from a refusal, against upstreams that refuse: what may be left out is left out once, and remembered."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from upstreams import AnthropicUpstream, OpenAIUpstream
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

from app.domain.errors import ProviderRequestRefused
from app.domain.events import Event, Text
from app.domain.request import TurnRequest
from app.providers.anthropic.adapter import AnthropicProvider
from app.providers.anthropic.lessons import LESSONS as ANTHROPIC_LESSONS
from app.providers.learning import REMEMBERED_S, Lessons
from app.providers.openai.adapter import OpenAIProvider
from app.providers.openai.lessons import LESSONS as OPENAI_LESSONS

TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
EVERYTHING = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 50,
    "seed": 1,
    "stop": "x",
    "user": "u",
    "reasoning_effort": "low",
    "parallel_tool_calls": False,
}


@pytest.fixture
def openai() -> Iterator[tuple[OpenAIUpstream, OpenAIProvider]]:
    """A server that is not OpenAI, so that everything is sent as it came."""
    with OpenAIUpstream(strict=False) as upstream:
        provider = OpenAIProvider("vendor", api_key=upstream.key, base_url=upstream.base_url)
        yield upstream, provider
        provider.close()


@pytest.fixture
def anthropic() -> Iterator[tuple[AnthropicUpstream, AnthropicProvider]]:
    """Anthropic, scripted."""
    with AnthropicUpstream(strict=False) as upstream:
        provider = AnthropicProvider("anthropic", api_key=upstream.key, base_url=upstream.url)
        yield upstream, provider
        provider.close()


def ask(provider: OpenAIProvider | AnthropicProvider, model: str, **fields: Any) -> list[Event]:
    """Take a turn."""
    fields.setdefault("messages", [{"role": "user", "content": "hello"}])
    return list(provider.stream(TurnRequest(model="m", **fields), model))


def words(events: list[Event]) -> str:
    """Return what was said."""
    return "".join(event.text for event in events if isinstance(event, Text))


OPENAI_REFUSALS = [
    ("temperature", "temperature", "Unsupported value: 'temperature' does not support 0.5 with this model."),
    ("temperature", None, "Unsupported parameter: 'temperature' is not supported with this model."),
    ("top_p", None, "`top_p` is not supported by this model"),
    ("seed", None, "seed: Extra inputs are not permitted"),
    ("user", None, "property 'user' is unsupported"),
    ("parallel_tool_calls", "parallel_tool_calls", "Parallel calls cannot be switched off."),
    ("reasoning_effort", None, "Unrecognized request argument supplied: reasoning_effort"),
    ("stream_options", None, "[{'type': 'extra_forbidden', 'loc': ['body', 'stream_options']}]"),
]


@pytest.mark.parametrize(("field", "param", "message"), OPENAI_REFUSALS)
def test_what_a_server_refuses_is_left_out_and_remembered(
    openai: tuple[OpenAIUpstream, OpenAIProvider], field: str, param: str | None, message: str
) -> None:
    """The caller hears the answer; the second request lacks the field; the next turn leaves it out from the start."""
    upstream, provider = openai
    refusal = openai_script.error(400, message, param=param)
    upstream.queue("m-1", refusal, openai_script.text_answer(["Hello."]))
    assert words(ask(provider, "m-1", tools=[TOOL], params=EVERYTHING)) == "Hello."
    ask(provider, "m-1", tools=[TOOL], params=EVERYTHING)
    first, second, third = (recorded.json for recorded in upstream.requests)
    assert field in first
    assert first.keys() - second.keys() == {field}
    assert third.keys() == second.keys()
    ask(provider, "m-2", params=EVERYTHING)
    assert field in upstream.requests[-1].json or field == "parallel_tool_calls"


def test_the_newer_and_the_older_name_of_a_bound(openai: tuple[OpenAIUpstream, OpenAIProvider]) -> None:
    """A model that wants max_completion_tokens gets it, under the value that the caller gave."""
    upstream, provider = openai
    message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    upstream.queue("m", openai_script.error(400, message, param="max_tokens"), openai_script.text_answer(["Hello."]))
    assert words(ask(provider, "m", params={"max_tokens": 50})) == "Hello."
    assert upstream.requests[1].json["max_completion_tokens"] == 50
    assert "max_tokens" not in upstream.requests[1].json


def test_a_forced_choice_becomes_a_free_one(openai: tuple[OpenAIUpstream, OpenAIProvider]) -> None:
    """A model that cannot be forced to call a tool is let choose; the tools stay."""
    upstream, provider = openai
    refusal = openai_script.error(400, "tool_choice 'required' is not supported.", param="tool_choice")
    upstream.queue("m", refusal, openai_script.text_answer(["Hello."]))
    ask(provider, "m", tools=[TOOL], tool_choice="required")
    assert upstream.requests[1].json["tool_choice"] == "auto"
    assert upstream.requests[1].json["tools"] == [TOOL]


def test_several_refusals_in_one_turn(openai: tuple[OpenAIUpstream, OpenAIProvider]) -> None:
    """A model may refuse one thing after the other, and is answered each time at once."""
    upstream, provider = openai
    refusals = [openai_script.error(400, "no", param=param) for param in ("temperature", "top_p", "seed")]
    upstream.queue("m", *refusals, openai_script.text_answer(["Hello."]))
    assert words(ask(provider, "m", params=EVERYTHING)) == "Hello."
    assert not {"temperature", "top_p", "seed"} & upstream.requests[3].json.keys()


NOT_LEARNED = [
    ("messages", "Invalid value for 'messages[0].content'."),
    ("messages[0].content", "The 'user' field of the message mentions temperature."),
    ("tools", "Invalid tools."),
    ("response_format", "response_format is not supported with this model."),
    (None, "The user message is too long."),
    (None, "This request is not valid."),
    ("model", "Unknown model."),
]


@pytest.mark.parametrize(("param", "message"), NOT_LEARNED)
def test_what_makes_an_answer_is_never_left_out(
    openai: tuple[OpenAIUpstream, OpenAIProvider], param: str | None, message: str
) -> None:
    """A refusal of messages, tools or response_format, or of nothing that can be named, is the caller's to hear."""
    upstream, provider = openai
    upstream.answers["m"] = openai_script.error(400, message, param=param)
    with pytest.raises(ProviderRequestRefused):
        ask(provider, "m", tools=[TOOL], params={**EVERYTHING, "response_format": {"type": "json_object"}})
    assert len(upstream.requests) == 1


def test_a_refusal_that_stays_is_told(openai: tuple[OpenAIUpstream, OpenAIProvider]) -> None:
    """A server that refuses what is no longer sent is asked twice, not for ever."""
    upstream, provider = openai
    upstream.answers["m"] = openai_script.error(400, "no", param="temperature")
    with pytest.raises(ProviderRequestRefused):
        ask(provider, "m", params=EVERYTHING)
    assert len(upstream.requests) == 2


TEXT = {"type": "text", "text": "x"}
ANTHROPIC_REFUSALS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("claude-sonnet-5", "thinking.type: disabled is not supported", {}, {"thinking": None}),
    ("claude-fable-5", "output_config.effort: Extra inputs are not permitted", {}, {"output_config": None}),
    (
        "claude-haiku-4-5",
        "tool_choice: forced tool use is not supported by this model",
        {"tools": [TOOL], "tool_choice": "required"},
        {"tool_choice": {"type": "auto"}},
    ),
    (
        "claude-haiku-4-5",
        "This model does not support assistant message prefill. The conversation must end with a user message.",
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        {},
    ),
    (
        "claude-new",
        "max_tokens: 9000 > 8192, which is the maximum",
        {"params": {"max_tokens": 9000}},
        {"max_tokens": 4096},
    ),
    (
        "claude-opus-5",
        "role 'system' is not supported on this model",
        {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
        {"messages": [{"role": "user", "content": [TEXT, {"type": "text", "text": "<system>\ny\n</system>"}]}]},
    ),
    ("claude-new", "metadata: Extra inputs are not permitted", {"params": {"user": "u"}}, {"metadata": None}),
]


@pytest.mark.parametrize(("model", "message", "fields", "mended"), ANTHROPIC_REFUSALS)
def test_what_a_claude_model_refuses(
    anthropic: tuple[AnthropicUpstream, AnthropicProvider],
    model: str,
    message: str,
    fields: dict[str, Any],
    mended: dict[str, Any],
) -> None:
    """Anthropic names no parameter, but says it in words."""
    upstream, provider = anthropic
    upstream.queue(model, anthropic_script.error(400, message), anthropic_script.text_answer(["Hello."]))
    assert words(ask(provider, model, **fields)) == "Hello."
    sent = upstream.requests[1].json
    assert {name: sent.get(name) for name in mended} == mended
    assert sent["messages"][-1]["role"] == "user"


def test_it_is_forgotten_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A lesson holds for an hour, and its learning is one line of the log without a word of the conversation."""
    now = [0.0]
    lessons = Lessons("vendor", OPENAI_LESSONS, clock=lambda: now[0])
    logging.getLogger("glottis").propagate = True
    lessons._learn("m", "temperature")
    assert lessons.of("m") == {"temperature"}
    assert lessons.of("other") == frozenset()
    now[0] = REMEMBERED_S + 1
    assert lessons.of("m") == frozenset()
    assert [record.getMessage() for record in caplog.records] == ["model_refuses"]


def test_no_lesson_touches_what_makes_an_answer() -> None:
    """Neither table can leave out messages, tools, a response format, the model or the system prompt."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "system": [{"type": "text", "text": "s"}],
        "tools": [TOOL],
        "response_format": {"type": "json_object"},
        "output_config": {"format": {"type": "json_schema"}, "effort": "low"},
        "max_tokens": 5,
    }
    for table in (OPENAI_LESSONS, ANTHROPIC_LESSONS):
        for name, lesson in table.items():
            sent = {**body, "output_config": dict(body["output_config"])}  # type: ignore[call-overload]
            lesson.mend(sent)
            kept = {"messages", "tools", "response_format", "model", "system"}
            assert {field: sent[field] for field in kept} == {field: body[field] for field in kept}, name
            assert sent["output_config"]["format"] == {"type": "json_schema"}

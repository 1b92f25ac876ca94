"""The anthropic provider keeps the contract, in front of a strict Anthropic."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from providers.contract import SOON_S, TOOLS, Call, ask, called, request
from providers.upstream_contract import UpstreamContract
from upstreams import Answer, AnthropicUpstream, Hold, Step
from upstreams.anthropic import Message as MessageAnswer
from upstreams.anthropic import error, event, text_answer, thinking_block, tool_answer, usage

from app.domain import errors
from app.domain.events import Finish, FinishReason, Reasoning, Start, Usage
from app.domain.ports import Model
from app.providers.anthropic.adapter import AnthropicProvider

STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}


class AnthropicStage:
    """A scripted Anthropic, and the provider in front of it."""

    model = "claude-haiku-4-5"
    error_event = event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def __init__(self, upstream: AnthropicUpstream) -> None:
        self.upstream = upstream
        self._made: list[AnthropicProvider] = []

    def provider(self, **changes: Any) -> AnthropicProvider:
        """Make the provider."""
        options = {"api_key": self.upstream.key, "base_url": self.upstream.base_url}
        provider = AnthropicProvider("anthropic", **{**options, **changes})
        self._made.append(provider)
        return provider

    def close(self) -> None:
        """Close the connections that the providers have kept; a server keeps them for as long as it lives."""
        for provider in self._made:
            provider.close()

    def answer(self, *pieces: str | Step, finish: FinishReason = "stop") -> Answer:
        """Make an answer of words."""
        return text_answer(pieces, finish=STOP_REASONS[finish])

    def says(self, *pieces: str, finish: FinishReason = "stop") -> None:
        """Script words."""
        self.upstream.answers[self.model] = self.answer(*pieces, finish=finish)

    def calls(self, *calls: Call, text: Sequence[str] = ()) -> None:
        """Script tool calls."""
        self.upstream.answers[self.model] = tool_answer(calls, text=text)

    def falls_silent_after(self, text: str) -> None:
        """Script words and silence."""
        self.upstream.answers[self.model] = self.answer(text, Hold())

    def saw_the_caller_leave(self) -> bool:
        """Whether the upstream saw the connection close."""
        return self.upstream.requests[-1].client_gone.wait(SOON_S)

    def whole_stream(self, text: str) -> bytes:
        """Make the bytes of an answer."""
        return b"".join(
            [
                event("message_start", message={"id": "msg_1", "model": self.model, "usage": usage(3, 1)}),
                event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
                event("ping"),
                event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
                event("content_block_stop", index=0),
                event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage(3, 4)),
                event("message_stop"),
            ]
        )

    def refusal(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        """Make an error."""
        return error(status, message, headers=headers)


@pytest.fixture
def stage() -> Iterator[AnthropicStage]:
    """Anthropic, scripted and strict."""
    with AnthropicUpstream() as upstream, closing(AnthropicStage(upstream)) as stage:
        yield stage


class TestAnthropic(UpstreamContract):
    """Anthropic itself."""


def test_one_request_is_made_as_anthropic_wants_it(stage: AnthropicStage) -> None:
    """One POST, streamed, uncompressed, with key and version, and with no retry of the SDK's."""
    ask(stage)
    (recorded,) = stage.upstream.requests
    assert recorded.route == "POST /v1/messages"
    assert recorded.headers["authorization"] == f"Bearer {stage.upstream.key}"
    assert recorded.headers["anthropic-version"] == "2026-10-21"
    assert recorded.headers["accept-encoding"] == "identity"
    assert recorded.headers["content-type"] == "application/json"
    assert recorded.json["stream"] is True
    stage.upstream.answers[stage.model] = error(529, "no", "overloaded_error")
    with pytest.raises(errors.ProviderOverloaded):
        ask(stage)
    assert len(stage.upstream.requests) == 2


def test_keys_and_tokens_of_the_environment_stay_here(stage: AnthropicStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the configured key is sent, whatever else the SDK could find."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-the-environment")
    ask(stage)
    assert "of-the-environment" not in str(stage.upstream.requests[0].headers)


def test_the_answer_is_named_and_counted(stage: AnthropicStage) -> None:
    """The provider's own id and model come first; cached tokens are part of the prompt (31)."""
    counts = usage(10, 9, cache_read=1000, cache_creation=200)
    stage.upstream.answers[stage.model] = text_answer(["Hi"], usage=counts, id="msg_1", model="claude-haiku-4-5-x")
    events = list(stage.provider().stream(request(), stage.model))
    assert events[0] == Start("msg_1", "claude-haiku-4-5-x")
    assert events[-1] == Usage(1210, 9, cached_tokens=1000, cache_write_tokens=200)


def test_thinking_is_never_spoken(stage: AnthropicStage) -> None:
    """Thinking is Reasoning, and its signature nothing."""
    stage.upstream.answers[stage.model] = MessageAnswer(blocks=[thinking_block(["Hm. ", "So."])])
    assert ask(stage)[:3] == [Reasoning("Hm. "), Reasoning("So."), Finish("stop")]


def test_a_tool_has_its_own_name_again(stage: AnthropicStage) -> None:
    """A name that Anthropic does not take is changed on the way there and back (16)."""

    def answer(recorded: Any) -> Answer:
        return tool_answer([("toolu_1", recorded.json["tools"][0]["name"], [])])

    stage.upstream.answers[stage.model] = answer
    tool = {"type": "function", "function": {"name": "book a table!"}}
    assert called(ask(stage, tools=[tool, *TOOLS]))[0] == ("toolu_1", "book a table!", "{}")


def test_dates_of_models(stage: AnthropicStage) -> None:
    """Anthropic's date and an OpenAI-like server's number are both understood; without either it is 0."""
    stage.upstream.answers["GET /v1/models"] = Answer.json(
        {"data": [{"id": "a", "created_at": "2026-09-01T00:00:00Z"}, {"id": "b", "created": 5}, {"id": "c"}]}
    )
    assert stage.provider().models() == [
        Model("a", 1_788_220_800, "anthropic"),
        Model("b", 5, "anthropic"),
        Model("c", 0, "anthropic"),
    ]


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5", "claude-sonnet-4-6", "claude-fable-5-2"])
@pytest.mark.parametrize("effort", [None, "none", "low", "max"])
def test_every_family_takes_its_request(stage: AnthropicStage, model: str, effort: str | None) -> None:
    """The platform's own parameters suit every model: none of them is refused."""
    params = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 5000, "user": "a@example.com", "stop": ["\n"]}
    stage.model = model
    events = ask(stage, tools=TOOLS, **params, **({"reasoning_effort": effort} if effort else {}))
    assert Finish("stop") in events

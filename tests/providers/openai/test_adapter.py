"""The openai provider keeps the contract, in front of a strict OpenAI and of a server that only speaks like it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from providers.contract import SOON_S, Call, ask, request
from providers.upstream_contract import UpstreamContract
from upstreams import Answer, Hold, OpenAIUpstream, Step
from upstreams.openai import DONE, chunk, error, sse, text_answer, tool_answer, usage

from app.domain.events import FinishReason, Start, Usage
from app.providers.openai.adapter import OpenAIProvider
from app.providers.openai.translate import Dialect


class OpenAIStage:
    """A scripted OpenAI, and the provider in front of it."""

    model = "gpt-4.1-mini"
    error_event = sse({"error": {"message": "Busy", "type": "overloaded", "param": None, "code": None}})

    def __init__(self, upstream: OpenAIUpstream, dialect: Dialect = "openai") -> None:
        self.upstream = upstream
        self._made: list[OpenAIProvider] = []
        self._dialect: Dialect = dialect

    def provider(self, **changes: Any) -> OpenAIProvider:
        """Make the provider."""
        options = {"api_key": self.upstream.key, "base_url": self.upstream.base_url, "dialect": self._dialect}
        provider = OpenAIProvider("openai", **{**options, **changes})
        self._made.append(provider)
        return provider

    def close(self) -> None:
        """Close the connections that the providers have kept; a server keeps them for as long as it lives."""
        for provider in self._made:
            provider.close()

    def answer(self, *pieces: str | Step, finish: FinishReason = "stop") -> Answer:
        """Make an answer of words."""
        return text_answer(pieces, finish=finish)

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
        end = [chunk({}, "stop"), chunk(None, usage=usage(3, 4)), DONE]
        return b"".join([chunk({"role": "assistant", "content": ""}), chunk({"content": text}), *end])

    def refusal(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        """Make an error."""
        return error(status, message, headers=headers)


class TestOpenAI(UpstreamContract):
    """OpenAI itself."""

    @pytest.fixture
    def stage(self) -> Iterator[OpenAIStage]:
        """Set up a server that refuses what OpenAI refuses."""
        with OpenAIUpstream() as upstream, closing(OpenAIStage(upstream)) as stage:
            yield stage


class TestCompatible(UpstreamContract):
    """A server that speaks OpenAI's API."""

    @pytest.fixture
    def stage(self) -> Iterator[OpenAIStage]:
        """Set up a server that takes what it gets."""
        with (
            OpenAIUpstream(key="sk-vendor", models=["a", "b"], strict=False) as upstream,
            closing(OpenAIStage(upstream, "compatible")) as stage,
        ):
            yield stage


@pytest.fixture
def stage() -> Iterator[OpenAIStage]:
    """OpenAI, scripted and strict."""
    with OpenAIUpstream() as upstream, closing(OpenAIStage(upstream)) as stage:
        yield stage


def test_one_request_is_made_as_openai_wants_it(stage: OpenAIStage) -> None:
    """One POST, streamed, uncompressed, with the key, and with no retry of the SDK's."""
    ask(stage)
    (recorded,) = stage.upstream.requests
    assert recorded.route == "POST /v1/chat/completions"
    assert recorded.headers["authorization"] == f"Bearer {stage.upstream.key}"
    assert recorded.headers["accept-encoding"] == "identity"
    assert recorded.headers["content-type"] == "application/json"
    assert recorded.json["stream"] is True
    stage.upstream.answers[stage.model] = error(500, "no")
    with pytest.raises(Exception, match="provider had an error"):
        ask(stage)
    assert len(stage.upstream.requests) == 2


def test_a_server_without_a_key_gets_no_authorization(stage: OpenAIStage) -> None:
    """No key, no header: some servers refuse a key that they do not know."""
    with OpenAIUpstream(strict=False) as upstream, pytest.raises(Exception, match="credentials"):
        ask(stage, stage.provider(api_key=None, base_url=upstream.base_url, dialect="compatible"))
    assert "authorization" not in upstream.requests[0].headers


@pytest.mark.parametrize(("dialect", "told"), [("openai", True), ("compatible", False)])
def test_who_is_told_the_organization(
    stage: OpenAIStage, monkeypatch: pytest.MonkeyPatch, dialect: Dialect, told: bool
) -> None:
    """Only OpenAI hears OpenAI's organization and project, which the SDK takes from the environment."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    ask(stage, stage.provider(dialect=dialect))
    headers = stage.upstream.requests[0].headers
    assert ("openai-organization" in headers, "openai-project" in headers) == (told, told)


def test_the_key_is_the_given_one(stage: OpenAIStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment never goes to another vendor."""
    monkeypatch.setitem(os.environ, "OPENAI_API_KEY", "sk-secret-of-openai")
    monkeypatch.setitem(os.environ, "OPENAI_ADMIN_KEY", "sk-admin-of-openai")
    ask(stage, stage.provider(dialect="compatible"))
    assert "of-openai" not in str(stage.upstream.requests[0].headers)


def test_the_answer_is_named_and_counted(stage: OpenAIStage) -> None:
    """The provider's own id, model and fingerprint come first; the usage has its details."""
    counts = usage(20, 9, cached=16, reasoning=5)
    stage.upstream.answers[stage.model] = text_answer(["Hi"], usage=counts, id="chatcmpl-1", model="gpt-4.1-mini-x")
    events = list(stage.provider().stream(request(), stage.model))
    assert events[0] == Start("chatcmpl-1", "gpt-4.1-mini-x", "fp_upstream", "default")
    assert events[-1] == Usage(20, 9, cached_tokens=16, reasoning_tokens=5)

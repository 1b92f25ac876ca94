"""Upstreams and schemas from hell: bounded in time and memory, and none of our keys comes back."""

import time
from collections.abc import Iterator

import pytest
from upstreams import Answer, Hold, OpenAIUpstream, Send
from upstreams import openai as script

from app.domain import errors
from app.domain.events import Text
from app.domain.request import TurnRequest
from app.providers.anthropic.schema import as_object
from app.providers.openai.adapter import OpenAIProvider

STREAM = {"Content-Type": "text/event-stream"}


@pytest.fixture
def upstream() -> Iterator[OpenAIUpstream]:
    """A server that is not strict."""
    with OpenAIUpstream(key="plainsecretkey12345", strict=False) as running:
        yield running


@pytest.fixture
def provider(upstream: OpenAIUpstream) -> Iterator[OpenAIProvider]:
    """The provider in front of it."""
    made = OpenAIProvider("vendor", api_key=upstream.key, base_url=upstream.base_url)
    yield made
    made.close()


def ask(provider: OpenAIProvider) -> str:
    """Take a turn and return the words."""
    request = TurnRequest(model="m", messages=[{"role": "user", "content": "hello"}])
    return "".join(event.text for event in provider.stream(request, "m") if isinstance(event, Text))


def test_a_schema_whose_references_multiply() -> None:
    """A few hundred bytes of tool definition cannot keep the worker from its other callers."""
    branch = {"anyOf": [{"$ref": "#/$defs/a"}] * 150}
    began = time.process_time()
    assert as_object({"$ref": "#/$defs/a", "$defs": {"a": branch}})["type"] == "object"
    assert time.process_time() - began < 2


@pytest.mark.parametrize("field", ["message", "param", "code"])
def test_our_key_does_not_come_back(upstream: OpenAIUpstream, provider: OpenAIProvider, field: str) -> None:
    """Whatever an upstream says of our key, of whatever form, neither the caller nor the log is told."""
    body = {"error": {"message": "no", "param": None, "code": None, field: f"bad {upstream.key}"}}
    upstream.answers["m"] = Answer.error(400, body)
    with pytest.raises(errors.ProviderRequestRefused) as refused:
        ask(provider)
    told = refused.value
    assert upstream.key not in f"{told.message} {told.param} {told.code} {told.detail}"


BROKEN = {
    "text of no encoding": Answer(
        headers=STREAM, steps=[Send(b'data: {"choices":[{"delta":{"content":"a\xff"}}]}\n\n')]
    ),
    "an event without an end": Answer(headers=STREAM, steps=[Send(b"data: " + b"x" * 1_000_000)] * 6),
    "headers without an end": Answer(headers={f"X-{number}": "a" for number in range(1500)}, steps=[]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_no_api_promises(upstream: OpenAIUpstream, provider: OpenAIProvider, case: str) -> None:
    """It is the provider's failure, so that another target can be asked."""
    upstream.answers["m"] = BROKEN[case]
    with pytest.raises(errors.ProviderBroken):
        ask(provider)


def test_an_error_page_without_an_end(upstream: OpenAIUpstream, provider: OpenAIProvider) -> None:
    """Of an error only the beginning is read, and a body that is not what its headers say is no fault of ours."""
    upstream.answers["m"] = Answer(
        status=500, headers={"Content-Encoding": "gzip"}, steps=[Send(b"y" * 100_000), Hold()]
    )
    with pytest.raises(errors.ProviderError) as failed:
        ask(provider)
    assert failed.value.upstream_status == 500


def test_odd_fields_do_not_spoil_an_answer(upstream: OpenAIUpstream, provider: OpenAIProvider) -> None:
    """Counts, names and logprobs of another type are passed over: the caller hears the words."""
    chunk = script.sse(
        {"id": 5, "model": [], "choices": [{"delta": {"content": [{"type": "text", "text": "Hi."}]}, "logprobs": [1]}]}
    )
    end = script.sse(
        {"choices": [{"delta": {"tool_calls": [None]}, "finish_reason": "stop"}], "usage": {"prompt_tokens": {}}}
    )
    upstream.answers["m"] = Answer(headers=STREAM, steps=[Send(chunk), Send(end), Send(script.DONE)])
    assert ask(provider) == "Hi."

"""The official openai client, against the deployed server and a real model behind every provider."""

import openai
import pytest
from gateway import KEY, Gateway

MODELS = {
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-haiku-4-5",
    "a row of data": "llama/any-name",
    "function": "own-function",
    "local": "embedded",
}
ASKED = [{"role": "system", "content": "Answer in one short sentence."}, {"role": "user", "content": "Say hello."}]


@pytest.fixture(params=["/v1", ""])
def client(deployed: Gateway, request: pytest.FixtureRequest) -> openai.OpenAI:
    """A client as a user makes it, with the base URL with and without /v1."""
    return openai.OpenAI(api_key=KEY, base_url=deployed.url + request.param, timeout=90, max_retries=0)


@pytest.mark.parametrize("provider", MODELS)
def test_words_come_whole(client: openai.OpenAI, provider: str) -> None:
    """A turn that is not streamed is answered with a real model's words and its usage."""
    answer = client.chat.completions.create(model=MODELS[provider], messages=ASKED, max_tokens=24)  # type: ignore[arg-type]
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


@pytest.mark.parametrize("provider", MODELS)
def test_words_come_as_a_stream(client: openai.OpenAI, provider: str) -> None:
    """A streamed turn is answered in pieces, with one finish_reason and the usage at the end."""
    stream = client.chat.completions.create(
        model=MODELS[provider],
        messages=ASKED,  # type: ignore[arg-type]
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert len([choice for choice in choices if choice.delta.content]) > 1
    assert len([choice for choice in choices if choice.finish_reason]) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens > 0


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    """The list names routes and providers' models, and each can be fetched by its name."""
    names = [model.id for model in client.models.list()]
    assert {"own-function", "embedded", "llama/smollm2-135m-instruct"} <= set(names)
    assert client.models.retrieve("llama/smollm2-135m-instruct").owned_by
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_errors_have_the_clients_own_classes(client: openai.OpenAI) -> None:
    """A wrong key and a wrong parameter raise what the client raises for OpenAI itself."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="gpt-4.1", messages=ASKED, temperature=9)  # type: ignore[arg-type]
    assert refused.value.param == "temperature"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(model="gpt-4.1", messages=ASKED)  # type: ignore[arg-type]

"""A model of each vendor that does what it is asked, behind the gateway."""

from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from e2e.clients.obliging import as_anthropic, as_openai
from gateway import KEY, Gateway
from upstreams import AnthropicUpstream, OpenAIUpstream

MODELS = ("gpt-5.4-mini", "claude-haiku-4-5")


@pytest.fixture(scope="module")
def base_url(gateway: Gateway, openai_upstream: OpenAIUpstream, anthropic_upstream: AnthropicUpstream) -> Iterator[str]:
    """Where the clients are pointed: the gateway's OpenAI-style API."""
    before = dict(openai_upstream.answers), dict(anthropic_upstream.answers)
    openai_upstream.answers |= dict.fromkeys(("gpt-5.4-mini", "gpt-5.4"), as_openai)
    anthropic_upstream.answers |= dict.fromkeys(("claude-haiku-4-5", "claude-sonnet-5"), as_anthropic)
    yield f"{gateway.url}/v1"
    openai_upstream.answers, anthropic_upstream.answers = before


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """One model of each vendor, behind the same API."""
    name: str = request.param
    return name


@pytest.fixture
async def async_client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's own client, for those built on it: one for each test, closed in the event loop that it ran in."""
    async with openai.AsyncOpenAI(api_key=KEY, base_url=base_url, max_retries=0) as client:
        yield client

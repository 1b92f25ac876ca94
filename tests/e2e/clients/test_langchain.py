"""LangChain's ChatOpenAI, under LangChain's own standard suite for chat models, in front of either vendor."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from gateway import KEY
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

OTHER = {"gpt-5.4-mini": "gpt-5.4", "claude-haiku-4-5": "claude-sonnet-5"}


# What the suite fetches from the internet, by the end of its address.
DOWNLOADS = {".pdf": b"%PDF-1.7 tiny", ".wav": b"RIFF tiny", "": b"\x89PNG tiny"}

# Of LangChain, in itself: it passes pydantic objects where the client's types expect none, and the suite gives it a
# class of pydantic 1, and a file without a name, to see what it does.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename:UserWarning"),
]


def download(url: str, **options: Any) -> httpx.Response:
    """Stand in for the suite's downloads: only loopback can be reached."""
    return httpx.Response(200, content=next(data for end, data in DOWNLOADS.items() if url.endswith(end)))


class Standard(ChatModelIntegrationTests):
    """The suite, for one model.

    It skips audio, which Anthropic has not; images and files in a tool's result, which OpenAI's API has not; and
    messages in Anthropic's own shape, which are no input of this API.
    """

    name: str
    url: str
    client: openai.DefaultAsyncHttpxClient

    @pytest.fixture(autouse=True)
    async def _pointed_at_the_gateway(self, base_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
        monkeypatch.setattr(httpx, "get", download)
        self.url = base_url
        # Left to itself LangChain keeps one client for all event loops, also those that are closed.
        async with openai.DefaultAsyncHttpxClient() as self.client:
            yield

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        connection = {"base_url": self.url, "api_key": KEY, "max_retries": 0, "http_async_client": self.client}
        return {"model": self.name, "stream_usage": True, **connection}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return OTHER[self.name]

    @pytest.mark.xfail(reason="Measures nothing without a recording, and wants pytest-benchmark.", run=False)
    def test_stream_time(self, *args: Any) -> None:
        """Leave the benchmark out."""


class TestOpenAI(Standard):
    """ChatOpenAI, answered by OpenAI."""

    name = "gpt-5.4-mini"


class TestAnthropic(Standard):
    """ChatOpenAI, answered by Anthropic."""

    name = "claude-haiku-4-5"

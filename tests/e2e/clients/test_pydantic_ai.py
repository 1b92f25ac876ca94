"""pydantic-ai's OpenAI model, in front of either vendor."""

import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Booking(BaseModel):
    """What a caller wants to book."""

    guests: int
    name: str


@pytest.fixture
def chat(async_client: openai.AsyncOpenAI, model: str) -> OpenAIChatModel:
    """The model as a user makes it."""
    return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=async_client))


async def test_an_agent_calls_its_tool(chat: OpenAIChatModel) -> None:
    """The tool is called with what was said, its result goes back, and words follow."""
    agent = Agent(chat, instructions="Answer briefly.")
    heard: list[int] = []

    @agent.tool_plain
    def magic(number: int) -> int:
        """Apply magic to a number."""
        heard.append(number)
        return number + 2

    done = await agent.run("What is magic of 3?")
    assert heard == [3]
    assert done.output == "The tool said: 5"
    assert done.usage.output_tokens > 0


async def test_an_agent_streams(chat: OpenAIChatModel) -> None:
    """Words come in pieces, and a tool may be called before them."""
    agent = Agent(chat)

    @agent.tool_plain
    def magic(number: int) -> int:
        """Apply magic to a number."""
        return number + 2

    async with agent.run_stream("What is magic of 3?") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert "".join(pieces) == "The tool said: 5"


@pytest.mark.parametrize("mode", [ToolOutput, NativeOutput])
async def test_an_agent_answers_with_an_object(chat: OpenAIChatModel, mode: type) -> None:
    """By a forced tool or by response_format: an object of the class comes out."""
    agent = Agent(chat, output_type=mode(Booking))
    done = await agent.run("A table for 4, for 'Ada'.")
    assert done.output == Booking(guests=4, name="Ada")

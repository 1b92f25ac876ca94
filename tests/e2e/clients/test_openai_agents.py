"""OpenAI's Agents SDK with a Chat Completions model, in front of either vendor; its tracing is off."""

import openai
import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunConfig, Runner, function_tool, handoff
from pydantic import BaseModel

UNTRACED = RunConfig(tracing_disabled=True)


class Booking(BaseModel):
    """What a caller wants to book."""

    guests: int
    name: str


@function_tool
def magic(number: int) -> int:
    """Apply magic to a number."""
    return number + 2


@pytest.fixture
def chat(async_client: openai.AsyncOpenAI, model: str) -> OpenAIChatCompletionsModel:
    """The model as a user makes it."""
    return OpenAIChatCompletionsModel(model=model, openai_client=async_client)


async def test_an_agent_calls_its_tool(chat: OpenAIChatCompletionsModel) -> None:
    """The tool is called, its result goes back, and words follow."""
    agent = Agent(name="Clerk", instructions="Answer briefly.", model=chat, tools=[magic])
    done = await Runner.run(agent, "What is magic of 3?", run_config=UNTRACED)
    assert done.final_output == "The tool said: 5"


async def test_an_agent_streams(chat: OpenAIChatCompletionsModel) -> None:
    """Words come in pieces, after a tool was called, and the usage is counted."""
    settings = ModelSettings(include_usage=True, parallel_tool_calls=False)
    agent = Agent(name="Clerk", model=chat, tools=[magic], model_settings=settings)
    done = Runner.run_streamed(agent, "What is magic of 3?", run_config=UNTRACED)
    deltas = [
        event.data.delta
        async for event in done.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]
    assert "".join(deltas) == done.final_output == "The tool said: 5"
    assert done.context_wrapper.usage.total_tokens > 0


async def test_an_agent_answers_with_an_object(chat: OpenAIChatCompletionsModel) -> None:
    """output_type gives an object of the class."""
    agent = Agent(name="Clerk", model=chat, output_type=Booking)
    done = await Runner.run(agent, "A table for 4, for 'Ada'.", run_config=UNTRACED)
    assert done.final_output == Booking(guests=4, name="Ada")


async def test_an_agent_hands_over(chat: OpenAIChatCompletionsModel) -> None:
    """A handoff is a tool without arguments; the other agent sees its trace in the history, and answers."""
    other = Agent(name="Billing", model=chat)
    agent = Agent(name="Clerk", model=chat, handoffs=[handoff(other)])
    done = await Runner.run(agent, "I have a question about a bill.", run_config=UNTRACED)
    assert done.last_agent is other
    assert "Billing" in done.final_output

"""The official openai client for Python: everything that its Chat Completions can do, in front of either vendor."""

import json
from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from gateway import KEY
from pydantic import BaseModel

MAGIC = {
    "type": "function",
    "function": {
        "name": "magic",
        "description": "Apply magic to a number.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"input": {"type": "integer"}},
            "required": ["input"],
            "additionalProperties": False,
        },
    },
}
ASKED = [{"role": "user", "content": "What is magic of 3?"}]


class Booking(BaseModel):
    """What a caller wants to book."""

    guests: int
    name: str
    table: Literal["inside", "outside"]


@pytest.fixture
def client(base_url: str) -> Iterator[openai.OpenAI]:
    """A client as a user makes it."""
    with openai.OpenAI(api_key=KEY, base_url=base_url, max_retries=0) as made:
        yield made


def test_create(client: openai.OpenAI, model: str) -> None:
    """A turn is answered whole, with its usage."""
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content == "You said: Hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_create_stream(client: openai.OpenAI, model: str) -> None:
    """A turn is answered in pieces."""
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    *pieces, usage = list(chunks)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "You said: Hello"
    assert usage.usage is not None


def test_stream_helper(client: openai.OpenAI, model: str) -> None:
    """`.stream()` hears every piece, and puts together the same answer."""
    with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": "Hello"}]) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == "You said: Hello"
    assert final.choices[0].finish_reason == "stop"


def test_stream_helper_with_tools(client: openai.OpenAI, model: str) -> None:
    """`.stream()` parses a strict tool's arguments as they come."""
    with client.chat.completions.stream(model=model, messages=ASKED, tools=[MAGIC]) as stream:  # type: ignore[list-item]
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [(event.name, event.parsed_arguments) for event in done] == [("magic", {"input": 3})]
    assert final.choices[0].finish_reason == "tool_calls"


def test_parse(client: openai.OpenAI, model: str) -> None:
    """`.parse()` with a pydantic class gives an object of it."""
    answer = client.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "A table for 4, for 'Ada'."}], response_format=Booking
    )
    assert answer.choices[0].message.parsed == Booking(guests=4, name="Ada", table="inside")


def test_stream_helper_parses(client: openai.OpenAI, model: str) -> None:
    """`.stream()` with a pydantic class gives an object of it."""
    asked = [{"role": "user", "content": "A table for 4, for 'Ada'."}]
    with client.chat.completions.stream(model=model, messages=asked, response_format=Booking) as stream:  # type: ignore[arg-type]
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Booking(guests=4, name="Ada", table="inside")


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "magic"}}])
def test_tools(client: openai.OpenAI, model: str, choice: object) -> None:
    """A tool is called, its result goes back as the client itself dumps the message, and words follow."""
    answer = client.chat.completions.create(model=model, messages=ASKED, tools=[MAGIC], tool_choice=choice)  # type: ignore[call-overload]
    message = answer.choices[0].message
    [call] = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("magic", {"input": 3})
    result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
    history = [*ASKED, message.model_dump(), result]
    answer = client.chat.completions.create(model=model, messages=history, tools=[MAGIC])  # type: ignore[list-item]
    assert answer.choices[0].message.content == "The tool said: 5"


def test_no_tools(client: openai.OpenAI, model: str) -> None:
    """tool_choice none means words."""
    answer = client.chat.completions.create(model=model, messages=ASKED, tools=[MAGIC], tool_choice="none")  # type: ignore[list-item]
    assert answer.choices[0].finish_reason == "stop"


async def test_async(async_client: openai.AsyncOpenAI, model: str) -> None:
    """The asynchronous client streams the same."""
    chunks = await async_client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    text = [chunk.choices[0].delta.content or "" async for chunk in chunks]
    assert "".join(text) == "You said: Hello"


def test_models(client: openai.OpenAI) -> None:
    """Models are listed, and retrieved by name."""
    assert "receptionist" in {listed.id for listed in client.models.list()}
    assert client.models.retrieve("receptionist").owned_by == "glottis"

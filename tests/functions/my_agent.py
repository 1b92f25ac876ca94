"""Functions that stand behind routes in the tests, as a user's own would."""

import threading
from collections.abc import Iterator

from app.domain.events import Event, Finish, Text, ToolCall, Usage
from app.domain.request import TurnRequest


def answer(request: TurnRequest) -> Iterator[str]:
    """Answer in two pieces."""
    yield "You said: "
    yield request.last_user_text


def whole(request: TurnRequest) -> str:
    """Answer in one."""
    return f"{len(request.messages)} messages"


def events(request: TurnRequest) -> Iterator[Event]:
    """Yield events: words, a tool call, a usage."""
    yield Text("One moment.")
    yield ToolCall(0, "call_1", "end_call", '{"reason": "done"}')
    yield Usage(prompt_tokens=3, completion_tokens=4)
    yield Finish("tool_calls")


def failing(request: TurnRequest) -> Iterator[str]:
    """Raise after the first words, with a secret in the message."""
    yield "So far "
    raise RuntimeError("secret-of-the-function")


def odd(request: TurnRequest) -> Iterator[int]:
    """Yield what is no event."""
    yield 42


def half(request: TurnRequest) -> Iterator[str]:
    """Yield half a character, which cannot be sent."""
    yield "\ud83d"


def unnamed(request: TurnRequest) -> Iterator[Event]:
    """Call a tool without an id, say when it is over, and go on."""
    yield ToolCall(0, name="end_call")
    yield Finish("tool_calls")
    yield Text("unheard")


def forever(request: TurnRequest) -> Iterator[str]:
    """Say something, then nothing, until the caller goes."""
    yield "wait"
    threading.Event().wait()

"""What an answer came to: its words, calls and tokens, over all the attempts that it took."""

import msgspec

from app.domain.events import Event, Finish, Refusal, Text, ToolCall, Usage
from app.domain.request import TurnRequest, text_of

CHARS_PER_TOKEN = 4
"""The usual length in English."""


class Tally:
    """Counts the events that the caller was given."""

    __slots__ = ("fillers", "finish", "is_refusal", "said", "tool_calls", "usage")

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tool_calls = 0
        self.fillers = 0
        self.is_refusal = False
        self.finish: Finish | None = None
        self.usage: Usage | None = None

    @property
    def text(self) -> str:
        """What was said of the answer; fillers are none of it."""
        return "".join(self.said)

    def count(self, event: Event) -> None:
        """Take note of an event of the answer."""
        if type(event) is Text:
            self.said.append(event.text)
        elif isinstance(event, ToolCall):
            self.tool_calls = max(self.tool_calls, event.index + 1)
        elif isinstance(event, Finish):
            self.finish = event
        elif isinstance(event, Refusal):
            self.is_refusal = True

    def add(self, usage: Usage) -> None:
        """Add what an attempt cost."""
        self.usage = usage if self.usage is None else _sum(self.usage, usage)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
        estimated=one.estimated or other.estimated,
    )


def counted(usage: Usage | None, request: TurnRequest, completion_chars: int) -> Usage:
    """Return the provider's usage, with a guess where it gives none, or none for the prompt.

    No prompt has 0 tokens: llama.cpp says so when it begins to answer before it has counted.
    """
    if usage is not None and usage.prompt_tokens:
        return usage
    guess = estimated_usage(request, completion_chars)
    if usage is None:
        return guess
    return msgspec.structs.replace(usage, prompt_tokens=guess.prompt_tokens, estimated=True)


def estimated_usage(request: TurnRequest, completion_chars: int) -> Usage:
    """Return a guess of the tokens for a provider that counts none."""
    prompt_chars = sum(len(text_of(message.get("content"))) for message in request.messages)
    return Usage(
        prompt_tokens=-(-prompt_chars // CHARS_PER_TOKEN),
        completion_tokens=-(-completion_chars // CHARS_PER_TOKEN),
        estimated=True,
    )

"""After commit: the answer handed on event by event, with exactly one finish and one usage, and counted on the way."""

from collections.abc import Iterator

import msgspec

from app.domain.errors import ProviderBroken, ProviderError
from app.domain.events import Event, Finish, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest, text_of

CHARS_PER_TOKEN = 4


class Tally:
    """What an answer came to. `start` is the provider's own name of the answer, once it gave one."""

    __slots__ = ("finish", "start", "text_chars", "tool_calls", "usage")

    def __init__(self) -> None:
        self.start = Start()
        self.text_chars = 0
        self.tool_calls = 0
        self.finish: Finish | None = None
        self.usage: Usage | None = None

    def count(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, Text):
            self.text_chars += len(event.text)
        elif isinstance(event, ToolCall):
            self.tool_calls = max(self.tool_calls, event.index + 1)
        elif isinstance(event, Finish):
            self.finish = event
        elif isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, Start):
            self.start = event


def relay(events: Iterator[Event], request: TurnRequest, tally: Tally) -> Iterator[Event]:
    """Yield the answer: its pieces, its Finish as soon as it comes, and its Usage last.

    Raises ProviderError where the answer breaks off before its Finish; after it, there is nothing left to lose.
    """
    try:
        for event in events:
            is_usage = isinstance(event, Usage)
            if is_usage or tally.finish is None:
                tally.count(event)
                if not is_usage:
                    yield event
    except ProviderError:
        if tally.finish is None:
            raise
    if tally.finish is None:
        raise ProviderBroken(detail="the answer ended without a finish")
    tally.usage = counted(tally.usage, request, tally.text_chars)
    yield tally.usage


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
    """Return a guess of the tokens, by their usual length in English, for a provider that counts none."""
    prompt_chars = sum(len(text_of(message.get("content"))) for message in request.messages)
    return Usage(
        prompt_tokens=-(-prompt_chars // CHARS_PER_TOKEN),
        completion_tokens=-(-completion_chars // CHARS_PER_TOKEN),
        estimated=True,
    )

"""What an answer came to: its words, calls, tokens and silences, over all the attempts that it took."""

import re
from math import inf
from time import monotonic

import msgspec

from app.domain.events import Event, Finish, Refusal, Text, ToolCall, Usage
from app.domain.request import TurnRequest, text_of

CHARS_PER_TOKEN = 4
"""The usual length in English."""

_MARKS = frozenset(".!?…:")
_has_mark = re.compile("[.!?…:\n\u3002\uff01\uff1f]").search
_ends_sentence = re.compile(r"[.!?…:]\s|[\u3002\uff01\uff1f]|\S\n").search
"""Finds where a voice platform may begin to speak: after the marks of most languages and a space, after those of
Chinese and Japanese, at a line's end. "3.5" and "10:30" are no ends; the "Dr." of "Dr. Smith" is taken for one."""


class Tally:
    """Counts the events that the caller was given.

    What it takes note of in a piece of text costs 0.3 us until the first sentence has ended, and 0.1 us after.
    """

    __slots__ = (
        "_last", "_spoke_at", "call_pieces", "fillers", "finish", "first_sentence_at", "is_refusal", "largest_gap_s",
        "said", "tool_calls", "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tool_calls = 0
        self.call_pieces: list[ToolCall] = []
        self.fillers = 0
        self.is_refusal = False
        self.finish: Finish | None = None
        self.usage: Usage | None = None
        self.first_sentence_at: float | None = None
        """When the first sentence had ended, or the answer (monotonic)."""
        self.largest_gap_s = 0.0
        """The longest time between two speakable events; 0 where there were less than two."""
        self._spoke_at = inf
        self._last = ""

    @property
    def text(self) -> str:
        """What was said of the answer; fillers are none of it."""
        return "".join(self.said)

    def count(self, event: Event) -> None:
        """Take note of an event of the answer."""
        if type(event) is Text:
            text = event.text
            self.said.append(text)
            if self.first_sentence_at is None:
                if (self._last in _MARKS or _has_mark(text)) and _ends_sentence(self._last + text):
                    self.first_sentence_at = monotonic()
                self._last = text[-1:]
            if text > " !" or (text and not text.isspace()):  # the first tells " word" without a call
                now = monotonic()  # as `_speak` has it; a chunk more costs no call more
                if now - self._spoke_at > self.largest_gap_s:
                    self.largest_gap_s = now - self._spoke_at
                self._spoke_at = now
        elif isinstance(event, ToolCall):
            self.tool_calls = max(self.tool_calls, event.index + 1)
            self.call_pieces.append(event)
            self._speak()
        elif isinstance(event, Finish):
            self.finish = event
            if self.first_sentence_at is None and any(map(str.strip, self.said)):
                self.first_sentence_at = monotonic()
        elif isinstance(event, Refusal):
            self.is_refusal = True
            self._speak()

    def _speak(self) -> None:
        now = monotonic()
        self.largest_gap_s = max(self.largest_gap_s, now - self._spoke_at)
        self._spoke_at = now

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

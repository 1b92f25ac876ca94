"""What comes together leaves together, and nothing of it is lost or told twice."""

from collections.abc import Iterator
from typing import Any

import pytest
from upstreams.openai import DONE, chunk, sse

from app.domain.errors import ProviderError
from app.domain.events import Event, Finish, Start, Text, ToolCall
from app.providers.http1 import Reply
from app.providers.openai.translate import AnswerReader
from app.providers.streaming import stream_events

END = chunk({}, "stop") + DONE
CALL = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "end_call", "arguments": "{}"}}]}


def said(text: str, **more: Any) -> bytes:
    """Make a chunk of words."""
    return chunk({"content": text}, **more)


class Packets:
    """A body that is read in these packets."""

    def __init__(self, *packets: bytes) -> None:
        self._packets = iter(packets)
        self.left = 0

    def read(self) -> bytes:
        """Return the next one."""
        return next(self._packets, b"")

    def drain(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        """Nothing is open."""


def heard(*packets: bytes) -> Iterator[Event]:
    """Read an answer of OpenAI's; its Start is left out."""
    body: Any = Packets(*packets)
    events = stream_events(lambda: (Reply(), body), AnswerReader())
    return (event for event in events if not isinstance(event, Start))


def test_words_of_one_packet_are_one_event() -> None:
    """A worker that is behind hands on in one piece what it finds; what comes by itself leaves by itself."""
    told = list(heard(said("A"), said("B") + said("C"), said("D") + END))
    assert told == [Text("A"), Text("BC"), Text("D"), Finish("stop")]


def test_words_keep_their_place() -> None:
    """Words are joined with words alone: before and after a call they stay apart."""
    told = list(heard(said("A") + said("B") + chunk(CALL) + said("C") + END))
    assert told == [Text("AB"), ToolCall(0, "a", "end_call", "{}"), Text("C"), Finish("tool_calls")]


def test_words_with_probabilities_stay_as_they_came() -> None:
    """Who asks for logprobs gets those of each piece."""
    chunks = [
        sse({"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": []}}]})
        for text in "AB"
    ]
    assert list(heard(b"".join(chunks) + END))[:2] == [Text("A", {"content": []}), Text("B", {"content": []})]


def test_words_before_an_error_are_heard() -> None:
    """An error in the same packet comes after the words before it."""
    told = heard(said("A") + said("B") + sse({"error": {"message": "Busy"}}))
    assert next(told) == Text("AB")
    with pytest.raises(ProviderError):
        next(told)


def test_what_follows_the_end_is_no_part_of_the_answer() -> None:
    """Words behind `[DONE]` in its packet are left out."""
    assert list(heard(said("A") + END + said("B"), said("C"))) == [Text("A"), Finish("stop")]

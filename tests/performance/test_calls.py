"""What a chunk and a request cost, in calls of functions: counted, not timed, so that no machine is too noisy for it.

The path is the real one, from the upstream's bytes to the caller's, without the sockets: the provider's stream, the
engine, and the encoder. C functions count too. A bound is some calls above what was counted when it was set; whoever
passes it pays for each call about 0.1 us a chunk, and says why the new figure is worth it. Two calls are for the turn's
line: a glance at the clock for the largest gap, and until the first sentence has ended a search for its end.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
from gateway import clean_environment
from upstreams.anthropic import event
from werkzeug.test import EnvironBuilder

from app.api.sse import ChunkEncoder
from app.domain.config import Route, Target
from app.domain.events import Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.engine.routing import Router
from app.engine.turn import Desk
from app.factory import create_app
from app.providers.anthropic.answers import AnswerReader as AnthropicReader
from app.providers.anthropic.models import facts_of
from app.providers.anthropic.translate import to_body as to_anthropic
from app.providers.openai.translate import AnswerReader as OpenAIReader
from app.providers.openai.translate import to_body as to_openai
from app.providers.streaming import stream_events
from app.schemas.chat import load_request
from app.settings import Settings
from app.telemetry.logs import TurnLog

FEW, MANY = 100, 300

PATH = "/v1/chat/completions"

FUNCTION = """
[routes.m]
target = "function:functions.my_agent:answer"
"""


class Bytes:
    """An upstream's body of one chunk a read."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = iter(chunks)
        self.headers = {b"content-type": b"text/event-stream"}

    def read(self) -> bytes:
        """Return the next chunk."""
        return next(self._chunks, b"")

    def drain(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        """Nothing is open."""


def openai_chunks(words: int) -> list[bytes]:
    """Make an answer of so many chunks in OpenAI's format."""
    delta = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
    end = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    return [*[delta] * words, end]


def anthropic_chunks(words: int) -> list[bytes]:
    """Make an answer of so many chunks in Anthropic's."""
    delta = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "})
    end = [event("message_delta", delta={"stop_reason": "end_turn"}, usage={}), event("message_stop")]
    return [event("message_start", message={"id": "m", "model": "m", "usage": {}}), *[delta] * words, *end]


class Played:
    """A provider whose upstream is a list of bytes."""

    name = "played"

    def __init__(self, chunks: list[bytes], reader: Callable[[], Any]) -> None:
        self._chunks = chunks
        self._reader = reader

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer with the bytes."""
        del request, model
        body: Any = Bytes(self._chunks)
        return stream_events(lambda: (body, body), self._reader())

    def first_token_s(self, request: TurnRequest, model: str) -> None:
        """It does not think."""

    def models(self) -> list[Model]:
        """None."""
        return []


def count_calls(work: Callable[[], object]) -> int:
    """Return how many functions are called while it works, in Python and in C."""
    calls = 0

    def profile(frame: FrameType, kind: str, argument: object) -> None:
        nonlocal calls
        del frame, argument
        calls += kind in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


BODY = msgspec.json.encode(
    {
        "model": "m",
        "stream": True,
        "temperature": 0.5,
        "messages": [{"role": role, "content": "Hello there"} for role in ["system", *["user", "assistant"] * 5]],
        "tools": [
            {"type": "function", "function": {"name": f"tool_{number}", "parameters": {"type": "object"}}}
            for number in range(3)
        ],
    }
)


def turn(provider: Played) -> Iterator[bytes]:
    """Take a turn, from the desk to the caller's bytes."""
    router = Router({"m": Route([Target("played", "m")])}, {"played"}, {"played"}, None)
    desk = Desk(router, {"played": provider}, [TurnLog()])
    taken = desk.take(load_request(msgspec.json.decode(BODY), request_id="r"))
    yield from ChunkEncoder("id", 1, taken.request).stream(taken.events(), taken.close)
    taken.close()


@pytest.mark.parametrize(
    ("chunks", "reader", "bound"),
    [
        (openai_chunks, OpenAIReader, 30),
        (anthropic_chunks, lambda: AnthropicReader({}), 36),
    ],
    ids=["openai", "anthropic"],
)
def test_calls_per_chunk(chunks: Callable[[int], list[bytes]], reader: Callable[[], Any], bound: int) -> None:
    """A chunk more costs no more calls than this, whatever a turn costs besides."""

    def calls_of(words: int) -> int:
        provider = Played(chunks(words), reader)
        heard: list[bytes] = []
        calls = count_calls(lambda: heard.extend(turn(provider)))
        assert b"".join(heard).count(b"word ") == words
        return calls

    calls_of(FEW)
    per_chunk = (calls_of(MANY) - calls_of(FEW)) / (MANY - FEW)
    assert per_chunk <= bound, f"{per_chunk:.1f} calls a chunk"


def test_calls_per_request() -> None:
    """To read a request of 11 messages and 3 tools and to translate it takes no more calls than this."""

    def work() -> None:
        request = load_request(msgspec.json.decode(BODY), request_id="r")
        msgspec.json.encode(to_openai(request, "gpt-4.1-mini", "openai"))
        msgspec.json.encode(to_anthropic(request, "claude-haiku-4-5", facts_of("claude-haiku-4-5")))

    work()
    assert count_calls(work) <= 495


def test_calls_before_the_first_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a request's head to an answer's first chunk it takes no more calls than this, Flask's own included.

    50 of them are made while a model would think, which the function that answers here does not.
    """
    (tmp_path / "glottis.toml").write_text(FUNCTION, "utf-8")
    monkeypatch.setattr(os, "environ", clean_environment() | {"ALLOW_ANONYMOUS": "true"})
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings.load())

    def turn() -> int:
        posted = EnvironBuilder(path=PATH, method="POST", data=BODY, content_type="application/json").get_environ()
        answer: Any = None

        def until_first() -> None:
            nonlocal answer
            answer = app(posted, lambda *_: lambda _: None)
            assert next(iter(answer)).startswith(b"data: ")

        calls = count_calls(until_first)
        answer.close()
        return calls

    turn()
    assert turn() <= 526

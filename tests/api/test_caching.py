"""The answer cache as a caller meets it: X-Cache, Cache-Control, and a replay that is a stream as any other."""

import time
from typing import Any

import pytest
from api.client import Reply, begin_chat, chat, read_until
from gateway import Gateway
from upstreams import OpenAIUpstream, Wait
from upstreams import openai as gpt

from app.api.caching import allowed_by

WORDS = [f"word{number} " for number in range(40)]


def ask(gateway: Gateway, mark: str, **fields: Any) -> Reply:
    """Ask for a turn that may be kept."""
    messages = [{"role": "user", "content": mark}]
    return chat(gateway, "kept", **{"messages": messages, "temperature": 0, "stream": True, **fields})


@pytest.fixture
def kept(gateway: Gateway, openai_upstream: OpenAIUpstream) -> Gateway:
    """A gateway whose model says forty words."""
    openai_upstream.answers["gpt-4o-kept"] = gpt.text_answer(WORDS)
    return gateway


def until_kept(gateway: Gateway, mark: str, **fields: Any) -> Reply:
    """Ask until the answer comes from the cache: it is written after the last byte."""
    deadline = time.monotonic() + 5
    while (reply := ask(gateway, mark, **fields)).headers["x-cache"] == "miss":
        assert time.monotonic() < deadline
    return reply


def test_a_hit(kept: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """It is the same stream, in the same pieces, with the usage that the answer had, and costs no upstream call."""
    options = {"stream_options": {"include_usage": True}}
    first = ask(kept, "a hit", **options)
    assert first.headers["x-cache"] == "miss"
    hit = until_kept(kept, "a hit", **options)
    calls = len(openai_upstream.requests)
    again = ask(kept, "a hit", **options)
    assert len(openai_upstream.requests) == calls
    said = [
        [{**event, "id": "", "created": 0} for event in reply.events if event != "[DONE]"]
        for reply in (first, hit, again)
    ]
    assert said[0] == said[1] == said[2]
    assert said[0][-1]["usage"]["total_tokens"] > 0
    line = kept.turns(1, cache="hit", model="kept")[0]
    assert (line["attempts"], line["usage"], line["end"], line["target"]) == ([], None, "completed", None)


def test_without_a_stream(kept: Gateway) -> None:
    """What was streamed is given whole, and the other way round."""
    ask(kept, "whole")
    hit = until_kept(kept, "whole", stream=False)
    assert hit.text == "".join(WORDS)
    assert hit.json["object"] == "chat.completion"


def test_other_routes_say_nothing(kept: Gateway) -> None:
    """X-Cache stands on routes that have a cache."""
    assert "x-cache" not in chat(kept, "gpt-4o").headers
    assert ask(kept, "warm", temperature=1).headers["x-cache"] == "miss"


def test_hanging_up_in_a_replay(kept: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """A caller who speaks over a replayed answer ends it, as any other."""
    # What comes in one packet is one piece: here are 400, whose replay takes two seconds.
    openai_upstream.answers["gpt-4o-kept"] = gpt.text_answer(
        [step for word in WORDS * 10 for step in (word, Wait(0.001))]
    )
    mark = "speaking over"
    ask(kept, mark)
    until_kept(kept, mark)
    fields = {"elevenlabs_extra_body": {"conversation_id": mark}, "temperature": 0, "stream": True}
    with begin_chat(kept, "kept", messages=[{"role": "user", "content": mark}], **fields) as sock:
        assert b"X-Cache: hit" in read_until(sock, b"word0")
    line = kept.turns(1, conversation_id=mark)[0]
    assert (line["end"], line["cache"]) == ("caller_gone", "hit")
    assert 0 < line["text_chars"] < len("".join(WORDS * 10))


@pytest.mark.parametrize(
    ("sent", "allows"),
    [
        (None, "full"),
        ("", "full"),
        ("max-age=60", "full"),
        ("no-cache", "write"),
        ("No-Cache, max-age=60", "write"),
        ("max-age=0", "write"),
        ("no-store", "none"),
        ("no-cache, NO-STORE", "none"),
        ("only-no-store-ish", "full"),
    ],
)
def test_cache_control(sent: str | None, allows: str) -> None:
    """`no-store` keeps a turn out of the cache, `no-cache` makes it a new one; letters may be of any size."""
    assert allowed_by(sent) == allows

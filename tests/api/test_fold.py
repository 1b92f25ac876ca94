"""One answer, two ways to give it: what a client adds up from a stream is what it gets when it asks for the whole."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANYTHING, TEXTS
from upstreams.anthropic import event
from upstreams.openai import DONE, sse

from app.api.completion import fold
from app.api.sse import ChunkEncoder, error_object
from app.domain.errors import ProviderBroken, ProviderError, ProviderOverloaded
from app.domain.events import Event, Events, Finish, Reasoning, Refusal, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.providers.anthropic.answers import AnswerReader as AnthropicReader
from app.providers.http1 import Reply
from app.providers.openai.translate import AnswerReader as OpenAIReader
from app.providers.streaming import Reader, stream_events

JSON = dict[str, Any]
Told = Sequence[Event | ProviderError]
"""What a provider yields, and what it may raise at the end."""


def answered(told: Told) -> Iterator[Event]:
    """Hand the events on as a turn does: up to the finish, where there is one, and the last usage after it."""
    usage, finished = Usage(), False
    for each in told:
        if isinstance(each, Usage):
            usage = each
        elif isinstance(each, ProviderError) and not finished:
            raise each
        elif not isinstance(each, ProviderError) and not finished:
            finished = isinstance(each, Finish)
            yield each
    if not finished:
        raise ProviderBroken
    yield usage


def whole(told: Told, request: TurnRequest) -> JSON:
    """Give the answer in one piece; or the error in its place."""
    try:
        answer = fold(answered(told), "chatcmpl-1", 1, request)
    except ProviderError as error:
        return error_object(error)
    (choice,) = answer["choices"]
    message = choice["message"]
    return {
        "words": message["content"] or "",
        "refusal": message["refusal"] or "",
        "thinking": message.get("reasoning_content") or "",
        "calls": message.get("tool_calls", []),
        "logprobs": (choice["logprobs"] or {}).get("content", []),
        "finish": choice["finish_reason"],
        "usage": answer["usage"] if request.include_usage else None,
        "same": [answer.get(name) for name in ("id", "created", "model", "service_tier", "system_fingerprint")],
    }


def never(error: BaseException) -> None:
    """Be told of what nobody foresaw."""
    raise AssertionError from error


def streamed(told: Told, request: TurnRequest) -> JSON:
    """Stream the answer, and add it up as a client does; or the error that ends it."""
    stream = b"".join(ChunkEncoder("chatcmpl-1", 1, request).stream(answered(told), never))
    *blocks, rest = stream.decode().split("\n\n")
    assert rest == ""
    assert all(block.startswith("data: ") for block in blocks)
    *payloads, last = [block.removeprefix("data: ") for block in blocks]
    chunks = [json.loads(payload) for payload in payloads]
    if last != "[DONE]":
        error: JSON = json.loads(last)
        return error
    return added_up(chunks)


def added_up(chunks: list[JSON]) -> JSON:
    """Add up the deltas of a stream."""
    answer: JSON = {"words": "", "refusal": "", "thinking": "", "calls": [], "logprobs": [], "finish": None}
    keys = {"words": "content", "refusal": "refusal", "thinking": "reasoning_content"}
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert [choice["delta"].get("role") for choice in choices] == ["assistant", *[None] * (len(choices) - 1)]
    for choice in choices:
        assert answer["finish"] is None, "something came after the finish"
        for name, key in keys.items():
            answer[name] += choice["delta"].get(key) or ""
        for piece in choice["delta"].get("tool_calls", []):
            add(answer["calls"], piece)
        answer["logprobs"] += (choice["logprobs"] or {}).get("content") or []
        answer["finish"] = choice["finish_reason"]
    answer["usage"] = chunks[-1].get("usage")
    assert all(chunk.get("usage") is None for chunk in chunks[:-1])
    names = ("id", "created", "model", "service_tier", "system_fingerprint")
    return answer | {"same": [chunks[-1].get(name) for name in names]}


def add(calls: list[JSON], piece: JSON) -> None:
    """Add a piece to the calls, as a client does."""
    if piece["index"] == len(calls):
        calls.append({key: value for key, value in piece.items() if key != "index"})
    else:
        assert piece.keys() == {"index", "function"}
        calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]


REQUESTS = st.builds(
    TurnRequest,
    model=TEXTS | st.just('"content":""'),
    messages=st.just([{"role": "user", "content": "hello"}]),
    include_usage=st.booleans(),
    reasoning_content=st.booleans(),
)
TOKEN = {"content": [{"token": "a"}]}
LOGPROBS = st.sampled_from([None, TOKEN, None, TOKEN, {"content": None}, {"content": []}, {}])
COUNTS = st.integers(0, 10**9)
WORDS = [
    st.builds(Text, TEXTS, LOGPROBS),
    st.builds(Text, TEXTS),
    st.builds(Refusal, TEXTS),
    st.builds(Reasoning, TEXTS),
]
NAMES = st.none() | st.sampled_from(["", "default", "fp_1"])
OTHERS = [
    st.builds(Start, TEXTS, TEXTS, NAMES, NAMES),
    st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.builds(Finish, st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
]


@st.composite
def answers(draw: st.DrawFn) -> list[Event | ProviderError]:
    """Any events in any order; of a call the first piece is named, and calls are numbered from 0."""
    told: list[Event | ProviderError] = []
    calls = 0
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["words", "call", "more", "other"]))
        if kind == "call":
            told.append(ToolCall(calls, f"call_{calls}", draw(TEXTS), draw(TEXTS)))
            calls += 1
        elif kind == "more" and calls:
            told.append(ToolCall(draw(st.integers(0, calls - 1)), arguments=draw(TEXTS)))
        else:
            told.append(draw(st.one_of(*(WORDS if kind == "words" else OTHERS))))
    return told + draw(
        st.sampled_from([[], [Finish("stop")], [Finish("stop"), ProviderBroken()], [ProviderOverloaded()]])
    )


@settings(max_examples=400, deadline=None)
@given(answers(), REQUESTS)
def test_any_events(told: Told, request: TurnRequest) -> None:
    """Words, refusal, thinking, calls, finish, usage and the names are the same both ways; so is an error."""
    assert streamed(told, request) == whole(told, request)


class Packets:
    """A body that comes in these packets."""

    def __init__(self, packets: Sequence[bytes]) -> None:
        self._packets = [packet for packet in packets if packet]

    def read(self) -> bytes:
        """The next packet; b"" at the end."""
        return self._packets.pop(0) if self._packets else b""

    def drain(self) -> None:
        """Nothing is left open."""

    close = drain


def told_by(stream: bytes, reader: Reader, cuts: Sequence[int] = ()) -> list[Event | ProviderError]:
    """Read an upstream's bytes, cut at these places, as the provider does."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    body: Any = Packets([stream[start:end] for start, end in pairwise(places)])
    reply = Reply()
    reply.headers = {b"content-type": b"text/event-stream"}
    events: Events = stream_events(lambda: (reply, body), reader)
    told: list[Event | ProviderError] = []
    try:
        told.extend(events)
    except ProviderError as error:
        told.append(error)
    return told


def made(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[JSON]:
    """Objects of these fields, without those that are None."""
    return st.fixed_dictionaries(fields).map(
        lambda values: {name: value for name, value in values.items() if value is not None}
    )


def delta(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """OpenAI's chunks of one delta of these fields; only now and then one with more."""
    reasons = st.sampled_from([*[None] * 40, "", "stop", "length", "tool_calls", "content_filter", "error", "eos"])
    choice = made(delta=made(**values), finish_reason=reasons, logprobs=LOGPROBS).map(lambda one: [one])
    return made(choices=choice, usage=st.none() | USAGE, service_tier=NAMES).map(sse)


def event_of(type: str, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:  # noqa: A002
    """Anthropic's events of this type, with these fields."""
    return made(**values).map(lambda values: event(type, **values))


PIECES = st.sampled_from(['{"a":"é\u2028"}', "{}", "{", "}", "", " "])
NAME = st.sampled_from(["f", "g", "h", "", None])
CALL = made(
    index=st.sampled_from([0, 1, 5, None]),
    id=st.sampled_from(["a", "b", "c", "", None]),
    function=made(name=NAME, arguments=PIECES | st.sampled_from([None, {"a": 1}])),
)
USAGE = made(prompt_tokens=COUNTS, completion_tokens=COUNTS)
OPENAI = [
    delta(content=TEXTS, role=st.just("assistant")),
    delta(content=TEXTS.map(lambda text: [{"type": "text", "text": text}])),
    *[delta(tool_calls=st.lists(CALL, min_size=1, max_size=2))] * 3,
    delta(refusal=TEXTS, reasoning=TEXTS),
    made(choices=st.sampled_from([None, []]), id=st.just("chatcmpl-2"), usage=USAGE).map(sse),
]
BLOCK = made(type=st.just("tool_use"), id=st.sampled_from(["a", "b", "c", None]), name=NAME, input=st.just({}))
OTHER_BLOCK = made(type=st.sampled_from(["text", "server_tool_use"]), text=TEXTS, input=st.just({"a": 1}))
INDEX = st.sampled_from([0, 1, 5])
COUNTED = made(input_tokens=COUNTS, output_tokens=COUNTS, cache_read_input_tokens=st.none() | COUNTS)
ANTHROPIC = [
    event_of("message_start", message=made(id=TEXTS, model=TEXTS, usage=st.none() | COUNTED)),
    event_of("content_block_start", index=INDEX, content_block=OTHER_BLOCK),
    event_of("content_block_delta", index=INDEX, delta=made(text=TEXTS)),
    event_of("content_block_delta", index=INDEX, delta=made(thinking=TEXTS)),
    *[event_of("content_block_start", index=INDEX, content_block=BLOCK)] * 2,
    *[event_of("content_block_delta", index=INDEX, delta=made(partial_json=PIECES))] * 2,
    event_of("message_delta", delta=made(stop_reason=st.sampled_from([None, "tool_use", "max_tokens"])), usage=COUNTED),
]
ODD = [
    st.just(event("ping")),
    st.just(b": ping\n\n"),
    st.just(DONE),
    st.just(event("error", error={})),
    ANYTHING.map(sse),
]


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Callable[[], Reader]]:
    """Streams of either format, most of them with an end and nothing odd in them; and what reads them."""
    usual, end, reader = draw(
        st.sampled_from(
            [
                (OPENAI, sse({"choices": [{"finish_reason": "stop"}]}) + DONE, OpenAIReader),
                (ANTHROPIC, event("message_stop"), lambda: AnthropicReader({"g": "my tool"})),
            ]
        )
    )
    kinds = draw(st.lists(st.sampled_from(usual * 4 + ODD), min_size=1, max_size=9))
    stream = b"".join(draw(kind) for kind in kinds) + draw(st.sampled_from([end, end, end, b""]))
    return stream.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n"]))), reader


@settings(max_examples=400, deadline=None)
@given(streams(), st.lists(st.integers(0, 900), max_size=9), REQUESTS)
def test_any_stream_of_an_upstream(
    script: tuple[bytes, Callable[[], Reader]], cuts: list[int], request: TurnRequest
) -> None:
    """Whatever OpenAI, Anthropic or one like them sends, both ways give one answer, wherever its packets were cut."""
    stream, make_reader = script
    told = told_by(stream, make_reader(), cuts)
    answer = whole(told, request)
    assert streamed(told, request) == answer
    assert unnamed(answer) == unnamed(whole(told_by(stream, make_reader()), request))


def unnamed(answer: JSON) -> JSON:
    """The answer, without the ids that calls were given here."""
    own = {"a", "b", "c"}
    calls = [call if call["id"] in own else call | {"id": ""} for call in answer.get("calls", [])]
    return answer | {"calls": calls}

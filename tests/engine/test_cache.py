"""The answer cache: the same question is answered from what was said, and only good answers are said again."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gevent
import msgspec
import pytest
from engine.rooms import ANSWER, CALL, HI, STOP, USAGE, Person, Room, listening, settle
from gevent.event import Event as Signal
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.config import Route, Target
from app.domain.events import Event, Filler, Finish, Pause, Reasoning, Refusal, Start, Text, Usage
from app.domain.request import TurnRequest
from app.engine import cache as module
from app.engine.cache import key_of
from app.engine.recording import from_bytes, to_bytes
from app.stores.memory_cache import MemoryCache

COLD: dict[str, Any] = {"params": {"temperature": 0}}


class Kept(Room):
    """A room whose route keeps answers, and every answer that it keeps."""

    def __init__(self, *providers: ScriptedProvider, **options: Any) -> None:
        self.store = MemoryCache(100, 1_000_000)
        super().__init__(*providers, **({"cache": self.store, "cache_ttl_s": 60.0} | options))

    def hears(self, caller: Any = None, /, **request: Any) -> list[Event]:
        """Hear a turn, and let the cache do its work after it."""
        try:
            return self.hear(caller, **(COLD | request))
        finally:
            settle()

    @property
    def caches(self) -> list[str | None]:
        """What the records say of the cache."""
        return [record.cache for record in self.observer.records]


def test_a_question_that_was_answered() -> None:
    """It is answered with the same events, without an upstream call, at no cost; the caller is told the usage."""
    provider = ScriptedProvider(*ANSWER)
    room = Kept(provider)
    assert [room.hears(request_id=str(number)) for number in range(3)] == [ANSWER] * 3
    assert provider.begun == 1
    assert room.caches == ["miss", "hit", "hit"]
    hit = room.observer.records[-1]
    assert (hit.attempts, hit.usage, hit.target, hit.end, hit.text_chars) == ([], None, None, "completed", 2)
    assert hit.first_speakable_ms is not None
    assert hit.finish_reason == "stop"


def test_a_route_without_a_cache() -> None:
    """Nothing is kept, unless a route asks for it."""
    provider = ScriptedProvider(*ANSWER)
    room = Kept(provider, cache_ttl_s=0.0)
    assert [room.hears() for _ in range(2)] == [ANSWER] * 2
    assert (provider.begun, room.caches) == (2, [None, None])


def test_its_time_is_over() -> None:
    """What is older than the route's cache_ttl_s is asked anew."""
    now = [0.0]
    provider = ScriptedProvider(*ANSWER)
    room = Kept(provider, cache=MemoryCache(10, 10_000, clock=lambda: now[0]))
    for now[0], begun in ((0.0, 1), (59.9, 1), (60.0, 2)):
        room.hears()
        assert provider.begun == begun


FLAWED: dict[str, tuple[Step, ...]] = {
    "cut by its length": (HI, Finish("length"), USAGE),
    "refused by a filter": (HI, Finish("content_filter"), USAGE),
    "refused in words": (Refusal("I will not"), STOP, USAGE),
    "refused in mid-answer": (HI, Refusal("no"), STOP, USAGE),
    "a tool call": (HI, CALL, Finish("tool_calls"), USAGE),
    "a tool call that ends with stop": (HI, CALL, STOP, USAGE),
    "filled": (lambda: gevent.sleep(0.05), HI, STOP, USAGE),
}


@pytest.mark.parametrize("steps", FLAWED.values(), ids=FLAWED)
def test_what_is_not_kept(steps: tuple[Step, ...]) -> None:
    """Only a whole answer in words, to which nothing happened, is given again."""
    provider = ScriptedProvider(*steps)
    room = Kept(provider, filler_after_s=0.02)
    for _ in range(2):
        room.hears()
    assert provider.begun == 2
    assert room.caches == ["miss", "miss"]


def test_silence_is_not_kept() -> None:
    """An answer without a word may be right once, where the caller said nothing."""
    provider = ScriptedProvider(STOP, USAGE)
    room = Kept(provider)
    silent: dict[str, Any] = {
        "messages": [{"role": "user", "content": "..."}],
        "tools": [{"type": "function", "function": {"name": "skip_turn"}}],
    }
    for _ in range(2):
        room.hears(**silent)
    assert provider.begun == 2


def test_what_was_resumed_is_not_kept() -> None:
    """An answer with a seam is not the model's own."""
    cut: tuple[Step, ...] = (HI, errors.ProviderBroken())
    provider = ScriptedProvider(*cut, then=[(Text(" there"), STOP, USAGE), ANSWER])
    room = Kept(provider)
    room.hears()
    assert room.record.resumes == 1
    room.hears()
    assert provider.begun == 3


def test_an_apology_is_not_kept() -> None:
    """Who asks again gets another attempt."""
    provider = ScriptedProvider(errors.ProviderKeyRefused())
    room = Kept(provider, apology="I am sorry.")
    for _ in range(2):
        assert room.hears()[0] == Text("I am sorry.")
    assert provider.begun == 2


def test_what_was_left_is_not_kept() -> None:
    """Half an answer is none."""
    provider = ScriptedProvider(HI, Text(" there"), STOP, USAGE)
    room = Kept(provider)
    turn = room.take(**COLD)
    events = turn.events()
    assert [next(events), next(events)] == [HI, Text(" there")]
    turn.close(errors.CallerGone())
    settle()
    room.hears()
    assert provider.begun == 2


TEMPERATURES: list[tuple[dict[str, Any], bool, bool, int]] = [
    # the request's parameters, the route's cache_any_temperature, whether the model heeds it, and the calls for two
    ({"temperature": 0}, False, True, 1),
    ({"temperature": 0.0}, False, True, 1),
    ({"temperature": 0.1}, False, True, 2),
    ({}, False, True, 2),
    ({"temperature": 0}, False, False, 2),
    ({"temperature": 0.7}, True, True, 1),
    ({"temperature": 0.7}, True, False, 1),
    ({}, True, False, 1),
]


@pytest.mark.parametrize(("params", "any_temperature", "heeds", "begun"), TEMPERATURES)
def test_temperatures(params: dict[str, Any], any_temperature: bool, heeds: bool, begun: int) -> None:
    """An answer that might have been another is given again only where the route says so."""
    provider = ScriptedProvider(*ANSWER)
    provider.heeds = heeds
    room = Kept(provider, cache_any_temperature=any_temperature)
    for _ in range(2):
        room.hears(params=params)
    assert provider.begun == begun


@pytest.mark.parametrize(("caching", "begun", "caches"), [("none", 3, [None] * 2), ("write", 2, ["miss"] * 2)])
def test_what_the_caller_allows(caching: Any, begun: int, caches: list[str | None]) -> None:
    """`no-store` neither reads nor writes; `no-cache` makes a new answer, and that is kept."""
    provider = ScriptedProvider(*ANSWER, then=[(Text("Two"), STOP, USAGE), (Text("Three"), STOP, USAGE)])
    room = Kept(provider)
    for _ in range(2):
        room.hears(caching=caching)
    last = room.hears()
    assert last[0] == Text("Three") if caching == "none" else Text("Two")
    assert (provider.begun, room.caches[:2]) == (begun, caches)


@pytest.mark.parametrize(
    "other",
    [
        {"caller": "another key"},
        {"messages": [{"role": "user", "content": "something else"}]},
        {"params": {"temperature": 0, "seed": 2}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "none"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_tells_questions_apart(other: dict[str, Any]) -> None:
    """Whatever shapes an answer, and the key of who asks."""
    provider = ScriptedProvider(*ANSWER)
    room = Kept(provider)
    room.hears()
    room.hears(**other)
    assert provider.begun == 2


@pytest.mark.parametrize(
    "other",
    [
        {"conversation_id": "conv_2"},
        {"request_id": "req_2"},
        {"stream": False},
        {"include_usage": True},
        {"extra": {"UUID": "another"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_does_not(other: dict[str, Any]) -> None:
    """Another call in which the same is asked hears the same: no model is shown these."""
    provider = ScriptedProvider(*ANSWER)
    room = Kept(provider)
    assert room.hears() == room.hears(**other)
    assert provider.begun == 1


def test_a_function_sees_more() -> None:
    """A user's own function may answer by the conversation or the extra body: they count then."""
    vendor = Route([Target("openai", "m")])
    function = Route([Target("openai", "m"), Target("function", "my_agent:answer")])
    one = TurnRequest(model="m", messages=[], conversation_id="a", extra={"UUID": "a"}, request_id="1")
    for change in ({"conversation_id": "b"}, {"extra": {"UUID": "b"}}, {"stream": True}):
        other = msgspec.structs.replace(one, **change)
        assert key_of(one, vendor) == key_of(other, vendor)
        assert key_of(one, function) != key_of(other, function)
    assert key_of(one, function) == key_of(msgspec.structs.replace(one, request_id="2"), function)
    assert key_of(one, vendor) != key_of(one, Route([Target("openai", "n")]))


class Odd:
    """A store with this value under every key."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def get(self, key: str) -> bytes | None:
        return self.value

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep nothing."""


WHOLE = to_bytes(ANSWER)
CORRUPT = {
    "empty": b"",
    "no msgpack": b"\xc1\xff\x00",
    "cut off": WHOLE[:-3],
    "no list": msgspec.msgpack.encode({"events": 1}),
    "no events": to_bytes([]),
    "another event": msgspec.msgpack.encode([["Song", "la"], ["Finish", "stop"], ["Usage"]]),
    "a field of another type": msgspec.msgpack.encode([["Text", 1], ["Finish", "stop"], ["Usage"]]),
    "no UTF-8": WHOLE.replace(b"Hi", b"\xff\xfe"),
    "no end": to_bytes(ANSWER[:2]),
}


@pytest.mark.parametrize("value", CORRUPT.values(), ids=CORRUPT)
def test_a_value_that_cannot_be_read(value: bytes) -> None:
    """It is as if there were none."""
    provider = ScriptedProvider(*ANSWER)
    room = Kept(provider, cache=Odd(value))
    assert room.hears() == ANSWER
    assert (provider.begun, room.caches) == (1, ["miss"])


def test_signs_of_life_are_not_kept() -> None:
    """What kept a connection open is no part of the answer."""
    gate = Signal()
    provider = ScriptedProvider(HI, lambda: gate.wait(0.1), STOP, USAGE)
    room = Kept(provider, heartbeat_s=0.02)
    assert Pause() in room.hears()
    assert room.hears() == [HI, STOP, USAGE]


def test_it_is_replayed_as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words come one by one, as they were."""
    monkeypatch.setattr(module, "PACE_S", 0.02)
    words = [Text(f" word{number}") for number in range(10)]
    room = Kept(ScriptedProvider(*words, STOP, USAGE))
    room.hears()
    begun_at = time.monotonic()
    turn = room.take(**COLD)
    came_at = [time.monotonic() - begun_at for _ in turn.events()]
    turn.close()
    gaps = [later - earlier for earlier, later in pairwise(came_at)]
    assert all(gap > 0.015 for gap in gaps[:9])


def test_a_long_answer_is_replayed_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pieces there are, LONGEST_REPLAY_S bounds the pauses between them."""
    monkeypatch.setattr(module, "PACE_S", 10.0)
    monkeypatch.setattr(module, "LONGEST_REPLAY_S", 0.1)
    room = Kept(ScriptedProvider(*[Text("word ")] * 100, STOP, USAGE))
    room.hears()
    assert len(room.hears()) == 102


@pytest.fixture
def halting(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Make a room with an answer that takes for ever to be replayed."""
    monkeypatch.setattr(module, "PACE_S", 60.0)
    monkeypatch.setattr(module, "LONGEST_REPLAY_S", 600.0)
    room = Kept(ScriptedProvider(HI, Text(" there"), STOP, USAGE), total_s=0.5)
    room.hears()
    return room


def test_who_does_not_stream_does_not_wait(halting: Kept) -> None:
    """Without a stream there is nothing to be natural about: the whole answer comes at once."""
    assert halting.hears(stream=False) == [HI, Text(" there"), STOP, USAGE]


def test_who_hangs_up_in_a_replay(halting: Kept) -> None:
    """The first word comes at once, and hanging up ends it in that moment."""
    person: Person = listening(halting, **COLD)
    settle()
    assert person.heard == [HI]
    person.hang_up()
    assert isinstance(person.wait().error, errors.CallerGone)
    assert halting.observer.records[-1].end == "caller_gone"


ENDS: list[tuple[Callable[[Kept], object], type[Exception], str]] = [
    (lambda room: room.desk.end_open_turns(), errors.ServerStopping, "drained"),
    (lambda room: Signal().wait(0.8), errors.ProviderTimeout, "provider_timeout"),
]


@pytest.mark.parametrize(("happens", "error", "end"), ENDS)
def test_a_replay_ends_as_any_turn(
    halting: Kept, happens: Callable[[Kept], object], error: type[Exception], end: str
) -> None:
    """Where the server stops or the turn's time is over."""
    person = listening(halting, **COLD)
    settle()
    happens(halting)
    assert isinstance(person.wait().error, error)
    assert halting.observer.records[-1].end == end


def test_copies_share_a_replay() -> None:
    """Copies of a turn that the cache answers hear the same."""
    room = Kept(ScriptedProvider(*ANSWER))
    room.hears()
    people = [listening(room, **COLD, conversation_id="conv_1", request_id=str(number)) for number in range(3)]
    assert [person.wait().heard for person in people] == [ANSWER] * 3
    assert next(iter(room.providers.values())).begun == 1


def test_a_long_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer does not push out all others."""
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    provider = ScriptedProvider(Text("x" * 1000), STOP, USAGE)
    room = Kept(provider)
    for _ in range(2):
        room.hears()
    assert provider.begun == 2


texts = st.text(st.characters(exclude_categories=["Cs"]))
counts = st.integers(0, 2**40)
events = st.one_of(
    st.builds(Text, texts, st.none() | st.dictionaries(texts, st.floats(allow_nan=False) | st.none())),
    st.builds(Reasoning, texts),
    st.builds(Refusal, texts),
    st.builds(Filler, texts),
    st.builds(Start, texts, texts, st.none() | texts, st.none() | texts),
    st.builds(Finish, st.sampled_from(["stop", "length"])),
    st.builds(Usage, counts, counts, counts, counts, counts, st.booleans()),
    st.just(CALL) | st.just(Pause()),
)


@given(st.lists(events))
def test_events_survive_being_bytes(said: list[Event]) -> None:
    """Every event comes back as it was, of its own type."""
    again = from_bytes(to_bytes(said))
    assert again == said
    assert [type(event) for event in again] == [type(event) for event in said]

"""A target that fails turn after turn is left alone for a while, and then tried by one turn."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import pytest
from api.client import begin_chat
from faults.caller import Heard, ask, new_mark
from faults.provider import FaultyProvider
from faults.table import TEXT, words
from faults.wires import WIRES
from gateway import Gateway
from upstreams import Answer, Gate
from upstreams import openai as gpt

COOLDOWN_S = 0.6
PRIMARY, BOTH, OTHER = ["openai"], ["openai", "anthropic"], ["anthropic"]
"""Who was asked in a turn: each target of these routes has a wire format of its own."""


@contextmanager
def down(provider: FaultyProvider, *targets: str) -> Iterator[None]:
    """Let targets answer 503 for a while."""
    provider.down |= set(targets)
    try:
        yield
    finally:
        provider.down -= set(targets)


def asked(provider: FaultyProvider, heard: Heard) -> list[str]:
    """Who was asked in a turn."""
    return [attempt.wire.name for attempt in provider.attempts(heard.mark)]


def answered(glottis: Gateway, provider: FaultyProvider, route: str, count: int) -> list[list[str]]:
    """Make turns, one after the other, each of which must be answered; who was asked in each."""
    turns = [ask(glottis, route, stream=bool(number % 2)) for number in range(count)]
    for turn in turns:
        turn.is_whole()
        assert turn.text == TEXT
    return [asked(provider, turn) for turn in turns]


def test_it_is_left_alone(glottis: Gateway, provider: FaultyProvider) -> None:
    """After cooldown_after failures in a row a target is not asked any more, and nobody waits for its failing."""
    with down(provider, "openai/healthy@opens"):
        assert answered(glottis, provider, "breaker-opens", 10) == [BOTH] * 3 + [OTHER] * 7


def test_only_failures_in_a_row_count(glottis: Gateway, provider: FaultyProvider) -> None:
    """An answer in between forgives what was before."""
    for _ in range(3):
        with down(provider, "openai/healthy@row"):
            assert answered(glottis, provider, "breaker-row", 2) == [BOTH] * 2
        assert answered(glottis, provider, "breaker-row", 1) == [PRIMARY]


def test_down_for_a_while(glottis: Gateway, provider: FaultyProvider) -> None:
    """It is probed once every cooldown_s while it is down; when it is back, turns go to it again. No caller notices."""
    route = "breaker-recovers"
    with down(provider, "openai/healthy@recovers"):
        assert answered(glottis, provider, route, 3) == [BOTH] * 3
        for _ in range(2):
            opened_at = time.monotonic()
            turns = list(itertools.takewhile(lambda who: who == OTHER, _turn_by_turn(glottis, provider, route)))
            assert len(turns) > 3
            assert COOLDOWN_S - 0.1 < time.monotonic() - opened_at < COOLDOWN_S + 1
    who = next(who for who in _turn_by_turn(glottis, provider, route) if who != OTHER)
    assert who == PRIMARY
    assert answered(glottis, provider, route, 20) == [PRIMARY] * 20


def _turn_by_turn(glottis: Gateway, provider: FaultyProvider, route: str) -> Iterator[list[str]]:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        yield from answered(glottis, provider, route, 1)
    pytest.fail("it was never asked again")


def test_one_turn_probes(glottis: Gateway, provider: FaultyProvider) -> None:
    """Of turns that come at the same time after the cooldown, one asks the target; the others do not wait for it."""
    route, model = "breaker-probes", "healthy@probes"
    with down(provider, f"openai/{model}"):
        assert answered(glottis, provider, route, 3) == [BOTH] * 3
    may_answer = threading.Event()
    provider.openai.answers[model] = gpt.text_answer(words(TEXT), before=[Gate(may_answer)])
    until = time.monotonic() + 5
    with ThreadPoolExecutor(8) as pool:
        while time.monotonic() < until:
            asking = [pool.submit(ask, glottis, route) for _ in range(8)]
            assert len(list(itertools.islice(as_completed(asking), 7))) == 7
            may_answer.set()
            burst = [each.result() for each in asking]
            may_answer.clear()
            assert {turn.text for turn in burst} == {TEXT}
            who = [asked(provider, turn) for turn in burst]
            if PRIMARY in who:
                break
    assert sorted(who) == [OTHER] * 7 + [PRIMARY]


def test_all_are_open(glottis: Gateway, provider: FaultyProvider) -> None:
    """When every target is left alone, the least bad is asked all the same: an error is never made up."""
    route = "breaker-all"
    with down(provider, "openai/healthy@all", "anthropic/healthy@all"):
        turns = [ask(glottis, route) for _ in range(5)]
        assert [turn.status for turn in turns] == [503] * 5
        assert all(asked(provider, turn) for turn in turns)
    assert len(answered(glottis, provider, route, 1)) == 1


def test_callers_who_leave_are_no_failures(glottis: Gateway, provider: FaultyProvider) -> None:
    """Barging in says nothing about the target: it is asked again, first, by the next caller."""
    model = "healthy@gone"
    provider.openai.answers[model] = Answer.silent()
    for _ in range(5):
        mark = new_mark("gone")
        messages = [{"role": "user", "content": f"{mark}: hello"}]
        sock = begin_chat(glottis, "breaker-gone", stream=True, messages=messages)
        (attempt,) = provider.attempts(mark, 1)
        sock.close()
        assert attempt.left_at
    del provider.openai.answers[model]
    assert answered(glottis, provider, "breaker-gone", 1) == [PRIMARY]


def test_long_conversations_are_no_failures(glottis: Gateway, provider: FaultyProvider) -> None:
    """One caller's conversation that is too long for a target does not take the target from all others."""
    model = "healthy@too-long"
    provider.openai.answers[model] = WIRES["openai"].too_long
    assert answered(glottis, provider, "breaker-too-long", 4) == [BOTH] * 4
    del provider.openai.answers[model]
    assert answered(glottis, provider, "breaker-too-long", 1) == [PRIMARY]

"""Relay: one attempt's answer as it comes, up to its one finish, and what it cost; or an error where it was cut."""

import time

import gevent
import pytest
from engine.rooms import HI, STOP
from gevent.event import Event
from gevent.queue import SimpleQueue
from scripted import ScriptedProvider, Step

from app.domain import events as answer
from app.domain.config import Target
from app.domain.errors import ProviderBroken, ProviderTimeout
from app.domain.events import Finish, Reasoning, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.engine.attempt import LiveAttempt
from app.engine.patience import Patience
from app.engine.relay import relay
from app.engine.tally import Tally, counted, estimated_usage

REQUEST = TurnRequest(
    model="m",
    messages=[{"role": "system", "content": "x" * 9}, {"role": "user", "content": [{"type": "text", "text": "1234"}]}],
    reasoning_content=True,
)
USAGE = Usage(prompt_tokens=3, completion_tokens=4)


def heard(*steps: Step, tally: Tally | None = None, said: str = "") -> tuple[list[answer.Event], Tally]:
    """Relay what a provider yields, or raises; what came out, and the tally."""
    arrivals: SimpleQueue[LiveAttempt] = SimpleQueue()
    attempt = LiveAttempt(Target("p", "m"), ScriptedProvider(*steps), REQUEST, arrivals, 3.0)
    assert arrivals.get(timeout=5).error is None
    tally = tally or Tally()
    patience = Patience(4.0, time.monotonic() + 60)
    try:
        return list(relay(attempt, REQUEST, tally, patience, said=said)), tally
    finally:
        patience.close()


@pytest.mark.parametrize(
    ("steps", "out", "usage"),
    [
        ([Start("id"), HI, STOP, USAGE], [Start("id"), HI, STOP], USAGE),
        ([USAGE, HI, STOP], [HI, STOP], USAGE),
        ([Usage(1, 0), HI, STOP, USAGE], [HI, STOP], USAGE),
        ([HI, STOP, Text("more"), Finish("length"), USAGE], [HI, STOP], USAGE),
        ([Reasoning("hm"), HI, STOP, USAGE], [Reasoning("hm"), HI, STOP], USAGE),
        ([HI, STOP, USAGE, ProviderBroken()], [HI, STOP], USAGE),
        ([HI, Finish("content_filter"), USAGE], [HI, Finish("content_filter")], USAGE),
    ],
)
def test_one_finish_and_the_last_usage(steps: list[Step], out: list[answer.Event], usage: Usage) -> None:
    """The finish is handed on at once and ends the answer; the last usage counts; a late failure harms nobody."""
    events, tally = heard(*steps)
    assert events == out
    assert tally.usage == usage


@pytest.mark.parametrize(
    ("failure", "raised"), [([ProviderTimeout()], ProviderTimeout), ([], ProviderBroken), ([USAGE], ProviderBroken)]
)
def test_a_cut_answer_is_never_a_clean_end(failure: list[Step], raised: type[Exception]) -> None:
    """An answer without its finish ends with an error, whether its provider says so or not; it is paid for."""
    tally = Tally()
    with pytest.raises(raised):
        heard(HI, *failure, tally=tally)
    assert (tally.text, tally.finish) == ("Hi", None)
    assert tally.usage is not None


def test_the_rest_of_an_answer() -> None:
    """What was said is not said again, a second start is left out, and everything else is as it comes."""
    call = ToolCall(0, "a", "f", "{}")
    events, _ = heard(Start("id"), Text("two "), Text("three"), call, Finish("tool_calls"), said="one two")
    assert events == [Text(" three"), call, Finish("tool_calls")]


def test_words_that_are_held_come_before_what_follows_them() -> None:
    """What might still be a repetition when the words end was none: it is said, and before the finish."""
    assert heard(Text("tw"), STOP, said="one two")[0] == [Text("tw"), STOP]
    call = ToolCall(0, "a", "f", "{}")
    assert heard(Text("tw"), call, STOP, said="one two")[0] == [Text("tw"), call, STOP]


def test_usage_is_estimated_where_none_is_given() -> None:
    """A provider that counts nothing gets a guess by length, marked as one; a failure after the finish too."""
    guess = Usage(prompt_tokens=4, completion_tokens=2, estimated=True)
    assert heard(Text("12345"), STOP)[1].usage == guess
    assert heard(Text("12345"), STOP, ProviderBroken())[1].usage == guess
    assert estimated_usage(REQUEST, 0).completion_tokens == 0


def test_what_a_repetition_costs_counts() -> None:
    """Words that the caller does not hear again are paid for again."""
    tally = heard(Text("1234"), Text(" 5678"), STOP, said="1234")[1]
    assert tally.text == " 5678"
    assert tally.usage == Usage(prompt_tokens=4, completion_tokens=3, estimated=True)


def test_a_prompt_of_no_tokens_was_not_counted() -> None:
    """A provider that begins before it has counted the prompt gets a guess for it; its other counts stand."""
    request = TurnRequest(model="m", messages=[{"role": "user", "content": "x" * 40}])
    usage = counted(Usage(prompt_tokens=0, completion_tokens=9), request, 100)
    assert usage == Usage(prompt_tokens=10, completion_tokens=9, estimated=True)
    assert counted(USAGE, request, 100) is USAGE


def test_the_tally() -> None:
    """What an answer came to is counted on the way, in whatever order its calls come."""
    first, second = ToolCall(0, "a", "f"), ToolCall(1, "b", "g")
    _, tally = heard(Start("id"), Text("Hi "), Text("there"), second, first, ToolCall(0, arguments="{}"), STOP, USAGE)
    assert (tally.text, tally.tool_calls, tally.is_refusal) == ("Hi there", 2, False)
    assert (tally.finish, tally.usage) == (STOP, USAGE)


def test_all_attempts_are_paid_for() -> None:
    """The tally adds up what every attempt cost, and a single guess makes a guess of it."""
    tally = Tally()
    tally.add(Usage(1, 2, 3, 4, 5))
    assert tally.usage == Usage(1, 2, 3, 4, 5)
    tally.add(Usage(10, 20, 30, 40, 50))
    assert tally.usage == Usage(11, 22, 33, 44, 55)
    tally.add(Usage(1, 1, estimated=True))
    tally.add(Usage(1, 1))
    assert tally.usage == Usage(13, 24, 33, 44, 55, estimated=True)


@pytest.mark.usefixtures("fine_ticks")
def test_a_usage_that_does_not_come_is_not_waited_for_long() -> None:
    """After the finish a provider that keeps its connection open costs the caller half a second, not idle_s."""
    began_at = time.monotonic()
    events, tally = heard(HI, STOP, Event().wait)
    assert events == [HI, STOP]
    assert tally.usage is not None
    assert tally.usage.estimated
    assert time.monotonic() - began_at < 1.0  # by a clock that ticks ten times as fast


def test_an_answer_is_read_as_it_is_wanted() -> None:
    """A caller who is slow to listen slows the model down: nothing is read ahead."""
    read: list[int] = []
    provider = ScriptedProvider(HI, lambda: read.append(1), HI, lambda: read.append(2), STOP)
    arrivals: SimpleQueue[LiveAttempt] = SimpleQueue()
    attempt = LiveAttempt(Target("p", "m"), provider, REQUEST, arrivals, 3.0)
    arrivals.get(timeout=5)
    patience = Patience(4.0, time.monotonic() + 60)
    events = relay(attempt, REQUEST, Tally(), patience)
    assert next(events) == HI
    gevent.sleep(0)
    assert read == []
    assert next(events) == HI
    assert read == [1]
    attempt.close()
    patience.close()

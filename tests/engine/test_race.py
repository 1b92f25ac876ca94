"""Race: targets in their order until one speaks, each for as long as it may be silent."""

import time

import gevent
import gevent.event
import pytest
from engine.rooms import ANSWER, CALL, HI, REQUEST, STOP, Racing, settle
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.events import Finish, Reasoning, Refusal, Start, Text, Usage

NOT_SPOKEN = [Start("id"), Reasoning("hm"), Text(""), Text(" \n"), Refusal(""), Refusal(" "), Usage()]


def silence() -> object:
    """Wait for longer than any test, until somebody closes."""
    return gevent.event.Event().wait()


@pytest.mark.parametrize(
    "script",
    [
        [HI, STOP],
        [Start("id"), Reasoning("hm"), Usage(), CALL, STOP],
        [Text(""), Text("\n"), HI],
        [Refusal("No."), STOP],
    ],
)
def test_the_first_target_answers(script: list[Step]) -> None:
    """As long as the primary speaks, no other target is asked, and nothing of its answer is lost."""
    first, second = ScriptedProvider(*script, name="first"), ScriptedProvider(*ANSWER, name="second")
    racing = Racing(first, second)
    winner = racing.to_its_end()
    assert list(winner.events()) == script
    assert first.asked == [(REQUEST, "model")]
    assert (str(winner.target), second.asked, racing.told) == ("first/model", [], [])


def test_it_waits_no_longer_than_the_first_speakable_event() -> None:
    """A turn commits while the rest of the answer is still to come."""
    reached: list[bool] = []
    provider = ScriptedProvider(Start("id"), HI, lambda: reached.append(True), STOP)
    winner = Racing(provider).to_its_end()
    settle()
    assert reached == []
    assert list(winner.events()) == [Start("id"), HI, STOP]
    assert reached == [True]


@pytest.mark.parametrize("before", [[], [Start("id"), Reasoning("hm"), Text("")]])
def test_the_targets_are_asked_in_order(before: list[Step]) -> None:
    """A failure before the first word costs the caller nothing but time: the next target is asked, and the next."""
    first = ScriptedProvider(*before, errors.ProviderKeyRefused(upstream_status=401), name="first")
    second = ScriptedProvider(*before, errors.ProviderUnreachable(), name="second")
    third = ScriptedProvider(*ANSWER, name="third")
    racing = Racing(first, second, third, retries=0)
    assert list(racing.to_its_end().events()) == ANSWER
    assert racing.told == [
        ("first", "failed", "ProviderKeyRefused"),
        ("second", "failed", "ProviderUnreachable"),
    ]
    assert [attempt.upstream_status for attempt in racing.past] == [401, None]
    assert (first.closed, second.closed, third.begun) == (1, 1, 1)


def test_the_last_failure_is_the_caller_s() -> None:
    """When no target speaks, the caller gets the last one's error, and all attempts are told."""
    first = ScriptedProvider(errors.ProviderUnreachable(), name="first")
    racing = Racing(first, ScriptedProvider(errors.ProviderOverloaded(), name="second"), retries=0)
    with pytest.raises(errors.ProviderOverloaded):
        racing.to_its_end()
    assert [error for _, _, error in racing.told] == ["ProviderUnreachable", "ProviderOverloaded"]


@pytest.mark.parametrize("step", NOT_SPOKEN, ids=lambda step: type(step).__name__)
def test_a_silent_target_is_left(step: Step) -> None:
    """What nobody hears is silence: after first_token_s the target is closed and never asked again."""
    first = ScriptedProvider(step, silence, HI, STOP, name="first")
    second = ScriptedProvider(*ANSWER, name="second")
    racing = Racing(first, second, first_token_s=0.05, retries=3)
    assert racing.to_its_end().target.provider == "second"
    settle()
    assert racing.told == [("first", "failed", "ProviderTimeout")]
    assert (first.begun, first.closed, second.begun) == (1, 1, 1)
    assert racing.past[0].usage is not None, "it was at work, and is paid for"


def test_words_that_come_drop_by_drop_do_not_prolong_the_wait() -> None:
    """first_token_s counts from the attempt's beginning, however busy a silent target is."""

    def think() -> None:
        gevent.sleep(0.02)

    first = ScriptedProvider(*[think, Reasoning("hm")] * 50, HI, STOP, name="first")
    racing = Racing(first, ScriptedProvider(*ANSWER, name="second"), first_token_s=0.1)
    began_at = time.monotonic()
    assert racing.to_its_end().target.provider == "second"
    assert 0.1 <= time.monotonic() - began_at < 0.6


def test_silence_is_the_last_error_too() -> None:
    """Where every target is silent the turn has timed out."""
    racing = Racing(ScriptedProvider(silence), first_token_s=0.02)
    with pytest.raises(errors.ProviderTimeout):
        racing.to_its_end()


@pytest.mark.parametrize(
    ("budgeted", "thinks", "deadline"), [(5.0, 60.0, 5.0), (5.0, None, 5.0), (None, 60.0, 60.0), (None, None, 3.0)]
)
def test_how_long_a_target_may_be_silent(budgeted: float | None, thinks: float | None, deadline: float) -> None:
    """The operator's word counts first, then what the model needs to think, then the usual time."""
    provider = ScriptedProvider(*ANSWER)
    provider.thinks_s = thinks
    racing = Racing(provider, first_token_s=budgeted)
    winner = racing.to_its_end()
    assert winner.deadline_s - racing.patience.now_s() == pytest.approx(deadline, abs=0.3)


def test_each_target_has_its_own_time() -> None:
    """A model that thinks may think as long as it needs, after one that does not and was silent."""
    thinking = ScriptedProvider(lambda: gevent.sleep(0.15), *ANSWER, name="thinking")
    thinking.thinks_s = 5.0
    quick = ScriptedProvider(silence, name="quick")
    quick.thinks_s = 0.03
    racing = Racing(quick, thinking)
    assert racing.to_its_end().target.provider == "thinking"
    assert racing.told == [("quick", "failed", "ProviderTimeout")]


@pytest.mark.usefixtures("fine_ticks")
def test_the_whole_turn_has_an_end() -> None:
    """After total_s nobody is waited for, whatever the targets may need."""
    first, second = ScriptedProvider(silence, name="first"), ScriptedProvider(silence, name="second")
    racing = Racing(first, second, total_s=0.1, first_token_s=30, hedge_after_s=0.01)
    with pytest.raises(errors.ProviderTimeout):
        racing.to_its_end()
    settle()
    assert (first.closed, second.closed) == (1, 1)
    assert {(name, outcome) for name, outcome, _ in racing.told} == {("first", "left"), ("second", "left")}


@pytest.mark.parametrize("how", ["closed", "caller gone"])
def test_the_caller_goes(how: str) -> None:
    """Closing the race, or CallerGone where it waits, ends every attempt; that is no failure of the targets."""
    first, second = ScriptedProvider(silence, name="first"), ScriptedProvider(silence, name="second")
    racing = Racing(first, second, hedge_after_s=0.01, headers_after_s=0.05, first_token_s=30)
    next(racing.run)  # the pause: both are under way by then
    assert (first.begun, second.begun) == (1, 1)
    if how == "closed":
        racing.run.close()
    else:
        with pytest.raises(errors.CallerGone):
            racing.run.throw(errors.CallerGone())
    settle()
    assert (first.closed, second.closed) == (1, 1)
    assert sorted(racing.told) == [("first", "left", None), ("second", "left", None)]
    assert all(attempt.usage is not None for attempt in racing.past), "they were at work, and are paid for"
    racing.patience.close()


def test_the_caller_goes_while_the_race_waits() -> None:
    """CallerGone reaches the race wherever its greenlet waits."""
    provider = ScriptedProvider(silence)
    racing = Racing(provider, first_token_s=30)
    waiting = gevent.spawn(racing.to_its_end)
    settle()
    gevent.get_hub().loop.run_callback(waiting.throw, errors.CallerGone())
    settle()
    assert isinstance(waiting.exception, errors.CallerGone)
    assert (provider.closed, racing.told) == (1, [("scripted", "left", None)])


def test_one_target_at_a_time() -> None:
    """As long as a target may still speak no other is asked, unless hedging is asked for."""
    first, second = ScriptedProvider(silence, *ANSWER, name="first"), ScriptedProvider(*ANSWER, name="second")
    racing = Racing(first, second, first_token_s=30, headers_after_s=0.05)
    next(racing.run)
    assert (first.begun, second.begun) == (1, 0)
    racing.run.close()
    racing.patience.close()


def test_an_answer_of_a_finish_alone_has_no_first_word() -> None:
    """What was refused by a filter is complete, but nothing of it was heard."""
    winner = Racing(ScriptedProvider(Start("id"), Finish("content_filter"))).to_its_end()
    assert winner.first_speakable_at is None

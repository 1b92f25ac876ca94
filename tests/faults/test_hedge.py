"""A target that says nothing for a while gets a competitor: the first to speak wins, the other is left at once."""

from faults.caller import BOTH_WAYS, Heard, asks, line_of, targets_in
from faults.provider import FaultyProvider
from faults.table import LATE_S, TEXT
from gateway import Gateway

HEDGE_S = 0.2
SOON_S = 0.3
"""At once, and what a busy machine adds to it."""


@asks("hedge", stream=BOTH_WAYS)
def test_the_faster_one_is_heard(heard: Heard, provider: FaultyProvider) -> None:
    """After hedge_after_s the next target is asked too; when it speaks, the silent one is left at once."""
    heard.is_whole()
    assert heard.text == TEXT
    silent, winner = provider.attempts(heard.mark)
    assert (silent.model, winner.model) == ("silent", "healthy")
    assert HEDGE_S - 0.05 < winner.at - heard.began_at < HEDGE_S + SOON_S
    assert 0 < silent.left_at - winner.at < SOON_S
    assert winner.is_over


@asks("hedge-late")
def test_the_first_one_may_win(heard: Heard, provider: FaultyProvider) -> None:
    """When the first target speaks after all, it is heard, and the hedge is left at once."""
    heard.is_whole()
    assert heard.text == TEXT
    slow, hedge = provider.attempts(heard.mark)
    assert slow.is_over
    assert 0 <= hedge.left_at - slow.at - LATE_S < SOON_S


@asks("hedge-fast")
def test_who_speaks_in_time_has_no_competitor(heard: Heard, provider: FaultyProvider) -> None:
    """An answer that has begun is paid for once."""
    heard.is_whole()
    assert [attempt.wire.name for attempt in provider.attempts(heard.mark)] == ["openai"]


@asks("hedge-fails")
def test_a_hedge_that_fails_harms_nobody(heard: Heard, provider: FaultyProvider) -> None:
    """The first target is still waited for when its competitor fails."""
    heard.is_whole()
    assert heard.text == TEXT
    slow, failed = provider.attempts(heard.mark)
    assert slow.is_over
    assert failed.is_over


@asks("hedge-both-fail", stream=BOTH_WAYS)
def test_both_fail(heard: Heard, provider: FaultyProvider) -> None:
    """When neither speaks, the caller gets one error, with a status, and nothing is left running."""
    heard.is_broken_off()
    assert heard.status in (503, 504)
    assert provider.attempts(heard.mark)[0].left_at
    provider.wait_until_idle()


@asks("hedge-alone")
def test_nobody_to_hedge_with(heard: Heard, provider: FaultyProvider) -> None:
    """A route of one target is not asked twice at the same time."""
    heard.is_whole()
    assert len(provider.attempts(heard.mark)) == 1


@asks("hedge-tool", tools=("end_call",))
def test_a_tool_call_wins_too(heard: Heard, provider: FaultyProvider) -> None:
    """A call acts, so it counts as speaking."""
    heard.is_whole()
    assert heard.finishes == ["tool_calls"]
    assert provider.attempts(heard.mark)[0].left_at


@asks("hedge-cut")
def test_a_winner_that_breaks_off(heard: Heard, provider: FaultyProvider) -> None:
    """A hedge that won and was cut is resumed like any other."""
    heard.is_whole()
    assert heard.text == TEXT


@asks("hedge")
def test_the_log_tells_of_both(heard: Heard, glottis: Gateway) -> None:
    """The line has both attempts, says who lost, and names the winner as the turn's target."""
    line = line_of(glottis, heard)
    assert sorted(targets_in(line)) == ["anthropic/healthy", "openai/silent"]
    outcomes = {attempt["target"]: attempt["outcome"] for attempt in line["attempts"]}
    assert outcomes == {"openai/silent": "lost", "anthropic/healthy": "answered"}
    assert (line["target"], line["end"]) == ("anthropic/healthy", "completed")

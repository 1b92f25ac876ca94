"""Several failures, one answer: what the caller is told when everybody fails, and what is never tried too often."""

import itertools
from concurrent.futures import ThreadPoolExecutor

from faults.caller import BOTH_WAYS, Heard, Turn, ask, asks, line_of, targets_in
from faults.provider import FaultyProvider
from faults.table import TEXT
from gateway import Gateway

WINDOW_S = 3.0
MOST_IN_WINDOW = 4
TOTAL_S = 4.0
SLACK_S = 1.5


@asks("both-fail", "three-fail", "refused-after-429", stream=BOTH_WAYS)
def test_all_fail(heard: Heard, glottis: Gateway, turn: Turn) -> None:
    """The caller gets one real error status in OpenAI's shape, and the line tells of every target."""
    heard.is_broken_off()
    assert heard.status in ((429, 503) if turn.route == "both-fail" else (429, 502, 504))
    line = line_of(glottis, heard)
    assert len(set(targets_in(line))) == (3 if turn.route == "three-fail" else 2)
    assert all(attempt["error"] for attempt in line["attempts"])
    assert line["status"] == heard.status


@asks("sorry-openai-context-400", stream=BOTH_WAYS)
def test_a_conversation_that_nobody_can_take(heard: Heard) -> None:
    """Too long for everybody: that is a failure too, and the caller hears the apology."""
    heard.is_whole()


@asks("unreachable", stream=BOTH_WAYS)
def test_nobody_listens(heard: Heard, glottis: Gateway) -> None:
    """A port that refuses is tried once more, and the next target answers."""
    heard.is_whole()
    assert heard.text == TEXT
    assert targets_in(line_of(glottis, heard)) == ["down/any", "down/any", "openai/healthy"]


@asks("unanswering", stream=BOTH_WAYS)
def test_connecting_takes_too_long(heard: Heard, glottis: Gateway) -> None:
    """After connect_s without a connection the next target is asked."""
    heard.is_whole()
    assert heard.text == TEXT
    line = line_of(glottis, heard)
    assert targets_in(line)[-1] == "openai/healthy"
    assert 0.2 < line["first_speakable_ms"] / 1000 < 0.3 + SLACK_S


@asks("no-retries", stream=BOTH_WAYS)
def test_no_retries(heard: Heard, provider: FaultyProvider) -> None:
    """With retries = 0 a failure leads to the next target at once."""
    heard.is_whole()
    assert [attempt.model for attempt in provider.attempts(heard.mark)] == ["500-once", "healthy"]


@asks("many-retries")
def test_nobody_is_hammered(heard: Heard, provider: FaultyProvider) -> None:
    """However many retries are allowed, a target gets no more than 4 attempts of a turn within 3 s, with pauses."""
    heard.is_broken_off()
    times = [attempt.at for attempt in provider.attempts(heard.mark)]
    assert len(times) >= MOST_IN_WINDOW
    for first, fifth in zip(times, times[MOST_IN_WINDOW:], strict=False):
        assert fifth - first > WINDOW_S - 0.3
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(pauses) > 0.01
    assert heard.took_s < TOTAL_S + SLACK_S


def test_retries_do_not_march_in_step(glottis: Gateway, provider: FaultyProvider) -> None:
    """The pause before a retry differs from turn to turn, so that no provider is hit by all at once."""
    with ThreadPoolExecutor(6) as pool:
        turns = list(pool.map(lambda _: ask(glottis, "openai-500-once"), range(12)))
    times = [[attempt.at for attempt in provider.attempts(turn.mark)] for turn in turns]
    pauses = [second - first for first, second in times]
    assert max(pauses) - min(pauses) > 0.02


@asks("short", stream=BOTH_WAYS)
def test_an_answer_without_an_end(heard: Heard, provider: FaultyProvider) -> None:
    """After total_s a turn is over, whatever still comes: an error and not an end, and the provider is left."""
    heard.is_broken_off()
    assert 0.9 < heard.took_s < 1.0 + SLACK_S
    assert {attempt.left_at > 0 for attempt in provider.attempts(heard.mark)} == {True}

"""Every fault there is, in both wire formats, streamed and not: what the caller hears, and what the provider sees.

All the calls are made beforehand, many at a time; each test then looks at one of them.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from faults.caller import BOTH_WAYS, Heard, Turn, asks, line_of, targets_in
from faults.provider import FaultyProvider
from faults.table import FEW_S, SLOWLY, TEXT, said_words
from faults.wires import WIRES
from gateway import Gateway

IN_TIME_S = 8.0
"""More than any turn may take that is not made to be slow; the budgets of a turn add up to about half of it."""

FIRST_TOKEN_S, IDLE_S = 1.0, 0.8
SLACK_S = 1.0

OWN, TWICE, NEXT, BOTH = (1, 0), (2, 0), (1, 1), (2, 1)
"""How often the target with the fault is asked, and the one behind it, which is healthy."""


class Answered(NamedTuple):
    """A turn that has an answer: who was asked, and what was said."""

    asked: tuple[int, int]
    text: str = TEXT
    finish: str = "stop"


ANSWERED: dict[str, Answered] = {
    **dict.fromkeys(["429-soon", "408-once", "500-once", "reset-once", "empty-once"], Answered(TWICE)),
    **dict.fromkeys(["429-always", "500-always", "503-always", "529-always"], Answered(BOTH)),
    **dict.fromkeys(["reset", "page", "malformed-first", "error-event-first", "unfinished-0", "empty"], Answered(BOTH)),
    **dict.fromkeys(["429-later", "429-always-later", "401", "403", "404", "context-400"], Answered(NEXT)),
    **dict.fromkeys(["silent", "headers-only", "late-token", "role-only", "pings", "thinking"], Answered(NEXT)),
    **dict.fromkeys(["cut-40-once", "cut-1-once", "cut-in-word"], Answered(TWICE)),
    **dict.fromkeys(["cut-40", "malformed-10", "error-event-10", "unfinished-40"], Answered(BOTH)),
    **dict.fromkeys(["stall-20", "pings-after-20"], Answered(NEXT)),
    **dict.fromkeys(["no-end", "held-end"], Answered(OWN)),
    "slow": Answered(OWN, SLOWLY),
    "refusal": Answered(OWN, "", "content_filter"),
    "refusal-after-5": Answered(OWN, said_words(5), "content_filter"),
    "tool": Answered(OWN, "", "tool_calls"),
}
UNENDED = {"anthropic-no-end": BOTH, "anthropic-held-end": NEXT}
"""To OpenAI's clients a finish_reason is the end, to Anthropic's nothing is before message_stop."""

MUTE = ["silent", "headers-only", "late-token", "role-only", "pings", "thinking"]
STALLED = ["stall-20", "pings-after-20"]


class Failed(NamedTuple):
    """A turn of one target that fails: how often it is asked, the error, and what was said before."""

    asked: int
    status: int
    code: str | None
    text: str = ""


FAILED: dict[str, Failed] = {
    "429-always": Failed(2, 429, "rate_limit_exceeded"),
    "429-always-later": Failed(1, 429, "rate_limit_exceeded"),
    "500-always": Failed(2, 502, "provider_error"),
    **dict.fromkeys(["503-always", "529-always"], Failed(2, 503, "provider_overloaded")),
    **dict.fromkeys(["401", "403"], Failed(1, 502, "provider_key_refused")),
    "404": Failed(1, 404, "model_not_found"),
    "context-400": Failed(1, 400, "context_length_exceeded"),
    **dict.fromkeys(["reset", "page", "malformed-first", "unfinished-0"], Failed(2, 502, "provider_broken")),
    "empty": Failed(2, 502, "empty_answer"),
    **dict.fromkeys(MUTE, Failed(1, 504, "provider_timeout")),
    "cut-40": Failed(2, 502, "provider_broken", said_words(40)),
    "unfinished-40": Failed(2, 502, "provider_broken", said_words(40)),
    **dict.fromkeys(STALLED, Failed(2, 504, "provider_timeout", said_words(20))),
    "tool-cut": Failed(1, 502, "provider_broken"),
    "words-then-tool-cut": Failed(1, 502, "provider_broken", "One moment."),
}


def turns(prefix: str, faults: Iterable[str]) -> pytest.MarkDecorator:
    """Ask the routes of these faults, in both wire formats, streamed and not."""
    return asks(*(f"{prefix}{wire}-{fault}" for fault in faults for wire in WIRES), stream=BOTH_WAYS)


@pytest.fixture
def fault(turn: Turn) -> str:
    """The fault that a route is named for."""
    return re.sub(r"^(one-)?(openai|anthropic)-", "", turn.route)


def models_asked(provider: FaultyProvider, heard: Heard) -> list[str]:
    """Who was asked in a turn. On a kept connection a reset is no answer: what was sent is sent again on another."""
    attempts = provider.attempts(heard.mark)
    return [attempt.model for attempt in attempts if attempt.model != "reset" or attempt.is_on_new_connection]


@turns("", ANSWERED)
def test_the_caller_gets_an_answer(heard: Heard, provider: FaultyProvider, turn: Turn, fault: str) -> None:
    """Whatever breaks, the caller hears the whole answer once and soon; each target is asked as often as is right."""
    heard.is_whole()
    expected = ANSWERED[fault]
    assert heard.text == expected.text
    assert heard.finishes == [expected.finish]
    assert heard.took_s < IN_TIME_S
    own, behind = UNENDED.get(turn.route, expected.asked)
    assert models_asked(provider, heard) == [fault] * own + ["healthy"] * behind, provider.log(heard.mark)


@turns("one-", FAILED)
def test_the_caller_is_told_of_a_failure(heard: Heard, provider: FaultyProvider, turn: Turn, fault: str) -> None:
    """What nobody can answer fails with a real status before the first word, else by an error event and no [DONE]."""
    heard.is_broken_off()
    expected = FAILED[fault]
    assert heard.error is not None
    assert heard.error["code"] == expected.code
    has_begun = "tool" in fault or expected.text
    assert heard.status == (200 if has_begun and turn.stream else expected.status)
    assert heard.text == (expected.text if turn.stream else "")
    assert heard.headers.get("retry-after") == ("2" if fault == "429-always-later" else None)
    assert heard.took_s < IN_TIME_S
    assert models_asked(provider, heard) == [fault] * expected.asked, provider.log(heard.mark)


@turns("", ["filter-400", "bad-parameter", "tool-cut", "words-then-tool-cut"])
def test_what_another_target_does_not_mend(heard: Heard, provider: FaultyProvider, turn: Turn, fault: str) -> None:
    """A refused prompt, a wrong request and a tool call that was cut are the end of it: nobody else is asked."""
    heard.is_broken_off()
    was_cut = "cut" in fault
    assert heard.status == ((200 if turn.stream else 502) if was_cut else 400)
    assert [attempt.model for attempt in provider.attempts(heard.mark)] == [fault]


@turns("", MUTE)
def test_a_mute_target_is_left(heard: Heard, provider: FaultyProvider) -> None:
    """Headers, pings and thoughts are no words: after first_token_s the target is left, and the next one asked."""
    mute, healthy = provider.attempts(heard.mark)
    for moment in (healthy.at, mute.left_at):
        assert FIRST_TOKEN_S - 0.05 < moment - heard.began_at < FIRST_TOKEN_S + SLACK_S
    assert healthy.is_over


@turns("", STALLED)
def test_a_stalled_target_is_left(heard: Heard, provider: FaultyProvider) -> None:
    """After idle_s without a word, pings or not, the next target goes on, and the stalled one is left."""
    stalled, healthy = provider.attempts(heard.mark)
    for moment in (healthy.at, stalled.left_at):
        assert IDLE_S - 0.1 < moment - heard.began_at < IDLE_S + SLACK_S
    assert healthy.is_over


@turns("", ["429-soon", "500-once", "429-later"])
def test_how_long_is_waited(heard: Heard, provider: FaultyProvider, fault: str) -> None:
    """A short Retry-After is waited for, a long one is not: the next target is asked at once."""
    first, second = provider.attempts(heard.mark)
    least_s = FEW_S if fault == "429-soon" else 0.0
    assert least_s <= second.at - first.at < least_s + SLACK_S


@turns("", ["401", "cut-40", "stall-20", "500-once"])
def test_the_log_tells_of_each_attempt(glottis: Gateway, heard: Heard, provider: FaultyProvider) -> None:
    """The line of a turn that ended well names every attempt in order, and its end is a normal one."""
    line = line_of(glottis, heard)
    asked = [f"{attempt.wire.name}/{attempt.model}" for attempt in provider.attempts(heard.mark)]
    assert targets_in(line) == asked
    assert (line["end"], line["status"], line["text_chars"]) == ("completed", 200, len(TEXT))
    assert [bool(attempt.get("error")) for attempt in line["attempts"]] == [True] * (len(asked) - 1) + [False]


@turns("one-", ["401", "silent", "stall-20", "tool-cut"])
def test_the_log_tells_of_a_failed_turn(glottis: Gateway, heard: Heard, fault: str) -> None:
    """A turn that failed says so in its line, and why."""
    line = line_of(glottis, heard)
    assert line["end"] == ("provider_timeout" if fault in {*MUTE, *STALLED} else "provider_error")
    assert line["status"] == heard.status
    assert line["error"]

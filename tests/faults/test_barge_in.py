"""A caller who barges in: whatever the turn is doing, all of it ends within 100 ms, seen from the provider's side."""

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from api.client import read_until
from faults.caller import ask, calling, line_of, new_mark
from faults.provider import Attempt, FaultyProvider
from faults.table import TEXT, WAIT_S
from gateway import Gateway

HANG_UPS = 50
LIMIT_S = 0.1
SLACK_S = 1.0
"""What a single hang-up may take on a machine that is busy with something else."""


class Phase(NamedTuple):
    """Where a turn is: the attempts that are there by then, those among them that go on, and what the caller heard."""

    route: str
    attempts: int = 1
    going_on: tuple[int, ...] = (0,)
    heard: bytes = b""
    both: bool = True
    """Whether it is the same without streaming."""


PHASES = {
    **{f"before headers, {wire}": Phase(f"gone-{wire}-silent") for wire in ("openai", "anthropic")},
    **{f"before the first token, {wire}": Phase(f"gone-{wire}-role-only") for wire in ("openai", "anthropic")},
    **{f"streaming, {wire}": Phase(f"gone-{wire}-stall", heard=b" Friday,") for wire in ("openai", "anthropic")},
    "streaming, with heartbeats": Phase("gone-heartbeat", heard=b" Friday,", both=False),
    "silent, with heartbeats": Phase("gone-heartbeat-silent", heard=b'"role"', both=False),
    "hedged": Phase("gone-hedged", attempts=2, going_on=(0, 1)),
    "at the second target": Phase("gone-fallback", attempts=2, going_on=(1,)),
    "resuming": Phase("gone-resuming", attempts=2, going_on=(1,), heard=b' If"'),
    "after a filler": Phase("gone-filler", heard=b"Hmm", both=False),
}


BY_THE_LOG = 0.5
"""Where no upstream sees it, the line of the log is waited for, which takes its own time."""


def measured(once: Callable[[], float], share: float = 0.75) -> None:
    """Hang up many times, and assert how long it took until it was over; what is above this share is the machine's."""
    took_s = sorted(once() for _ in range(HANG_UPS))
    assert took_s[int(HANG_UPS * share)] < LIMIT_S, took_s
    assert took_s[-1] < SLACK_S, took_s


@pytest.mark.parametrize(
    ("phase", "stream"),
    [(name, stream) for name, phase in PHASES.items() for stream in (True, False) if stream or phase.both],
)
def test_the_provider_is_left_at_once(glottis: Gateway, provider: FaultyProvider, phase: str, stream: bool) -> None:
    """From the closing of the caller's connection to that of every upstream's it takes at most 100 ms."""
    route, attempts, going_on, heard, _ = PHASES[phase]
    marks: list[str] = []

    def hang_up() -> float:
        marks.append(new_mark("gone"))
        with calling(glottis, route, marks[-1], stream=stream) as sock:
            begun: list[Attempt] = provider.attempts(marks[-1], attempts)
            if stream and heard:
                read_until(sock, heard)
            closed_at = time.monotonic()
        return max(begun[number].left_at for number in going_on) - closed_at

    measured(hang_up)
    provider.wait_until_idle()
    assert (provider.openai.open_streams, provider.anthropic.open_streams) == (0, 0)
    for mark in marks:
        line = line_of(glottis, mark)
        assert (line["end"], line["status"]) == ("caller_gone", 200 if stream and heard else 499)
        outcomes = [attempt["outcome"] for attempt in line["attempts"]]
        assert len(outcomes) == len(provider.attempts(mark)) == attempts
        assert {outcomes[number] for number in going_on} <= {"left", "lost"}
        assert not [line["attempts"][number] for number in going_on if line["attempts"][number].get("error")]


@pytest.mark.parametrize("stream", [True, False])
def test_while_connecting(glottis: Gateway, provider: FaultyProvider, stream: bool) -> None:
    """A connection that does not come about is given up, and nobody else is asked."""
    measured(lambda: _until_accounted(glottis, provider, "gone-connecting", stream=stream, attempts=0), BY_THE_LOG)


@pytest.mark.parametrize("stream", [True, False])
def test_while_backing_off(glottis: Gateway, provider: FaultyProvider, stream: bool) -> None:
    """Nobody is asked again for a caller who has gone while a Retry-After was waited for."""
    marks: list[str] = []
    measured(
        lambda: _until_accounted(glottis, provider, "gone-back-off", stream=stream, attempts=1, marks=marks), BY_THE_LOG
    )
    # Who stays waits out the same time, and so the end of all those that were left.
    began_at = time.monotonic()
    assert ask(glottis, "gone-back-off").text == TEXT
    assert time.monotonic() - began_at > WAIT_S
    assert {len(provider.attempts(mark)) for mark in marks} == {1}


def _until_accounted(
    glottis: Gateway,
    provider: FaultyProvider,
    route: str,
    *,
    stream: bool,
    attempts: int,
    marks: list[str] | None = None,
) -> float:
    """Hang up where no upstream call is open; how long it takes until the turn's line is there."""
    mark = new_mark("gone")
    with calling(glottis, route, mark, stream=stream) as sock:
        for begun in provider.attempts(mark, attempts):
            assert begun.is_over
        # An answer to another caller comes later than the turn has gone as far as it gets.
        assert ask(glottis, "openai-healthy").text == TEXT
        assert sock.fileno() > 0
        closed_at = time.monotonic()
    line = line_of(glottis, mark)
    took_s = time.monotonic() - closed_at
    assert (line["end"], line["status"]) == ("caller_gone", 499)
    assert len(provider.attempts(mark)) == attempts
    if marks is not None:
        marks.append(mark)
    return took_s


def test_nothing_is_left_over(glottis: Gateway, provider: FaultyProvider) -> None:
    """After all that the worker serves the next caller, and no traceback was printed."""
    provider.wait_until_idle()
    heard = ask(glottis, "openai-healthy")
    heard.is_whole()
    assert "Traceback" not in glottis.output

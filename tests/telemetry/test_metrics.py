"""Metrics: what is counted of a turn, and that no caller can make more series than are good."""

from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from app.domain.events import Usage
from app.domain.turn import Attempt, End, TurnRecord
from app.telemetry.meters import METERS, MOST_TARGETS, OTHER
from app.telemetry.metrics import Metrics

USAGE = Usage(prompt_tokens=100, completion_tokens=30, cached_tokens=60, reasoning_tokens=5)
ANSWERED = Attempt(target="openai/a", began_ms=1.0, duration_ms=900.0, outcome="answered", usage=USAGE)
FAILED = Attempt(target="openai/b", began_ms=0.5, duration_ms=0.4, outcome="failed", error="ProviderOverloaded")
TURN = TurnRecord(
    request_id="req_1",
    conversation_id=None,
    model="receptionist",
    stream=True,
    end="completed",
    status=200,
    target="openai/a",
    attempts=[ANSWERED],
    error=None,
    first_speakable_ms=250.0,
    total_ms=2000.0,
    text_chars=80,
    tool_calls=0,
    finish_reason="stop",
    usage=USAGE,
    route="receptionist",
    first_sentence_ms=700.0,
    largest_gap_ms=120.0,
    overhead_ms=0.8,
    cost_usd=0.25,
)
NOTHING = msgspec.structs.replace(
    TURN,
    end="caller_gone",
    target=None,
    attempts=[],
    usage=None,
    first_speakable_ms=None,
    first_sentence_ms=None,
    largest_gap_ms=None,
    overhead_ms=None,
    cost_usd=None,
)


@pytest.fixture
def metrics() -> Metrics:
    """A server with one route and two targets."""
    return Metrics(["receptionist"], ["openai/a", "openai/b"])


def samples(metrics: Metrics) -> dict[str, float]:
    """Return every sample that is not 0 by its name with its labels, buckets left out."""
    families = parse(metrics.exposition("")[0].decode())
    samples = [sample for family in families for sample in family.samples]
    return {
        f"{sample.name}{{{','.join(value for _, value in sorted(sample.labels.items(), reverse=True))}}}": sample.value
        for sample in samples
        if sample.value and not sample.name.endswith("_bucket")
    }


def counted(metrics: Metrics, *records: TurnRecord) -> dict[str, float]:
    """Return the samples after these turns."""
    for record in records:
        metrics.turn_ended(record)
    return samples(metrics)


def test_a_turn_that_went_well(metrics: Metrics) -> None:
    """It is in each figure that it has a part in, in seconds, and in no other."""
    assert counted(metrics, TURN) == {
        "glottis_turns_total{receptionist,completed}": 1,
        "glottis_attempts_total{openai/a,answered}": 1,
        "glottis_tokens_total{receptionist,prompt}": 100,
        "glottis_tokens_total{receptionist,completion}": 30,
        "glottis_tokens_total{receptionist,cached}": 60,
        "glottis_tokens_total{receptionist,reasoning}": 5,
        "glottis_cost_usd_total{receptionist}": 0.25,
        "glottis_workers{}": 1,
        **{
            f"{name}_{part}": value
            for name, seconds in {
                "glottis_first_speakable_seconds": 0.25,
                "glottis_first_sentence_seconds": 0.7,
                "glottis_largest_gap_seconds": 0.12,
                "glottis_turn_seconds": 2.0,
            }.items()
            for part, value in (("count{receptionist}", 1), ("sum{receptionist}", seconds))
        },
        "glottis_overhead_seconds_count{}": 1,
        "glottis_overhead_seconds_sum{}": 0.0008,
    }


def test_a_turn_of_which_nothing_is_known(metrics: Metrics) -> None:
    """A time that there was none of is not counted as 0."""
    assert counted(metrics, NOTHING) == {
        "glottis_turns_total{receptionist,caller_gone}": 1,
        "glottis_turn_seconds_count{receptionist}": 1,
        "glottis_turn_seconds_sum{receptionist}": 2.0,
        "glottis_workers{}": 1,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"attempts": [ANSWERED, FAILED]}, {"glottis_fallbacks_total{receptionist}": 1}),
        ({"attempts": [ANSWERED], "first_speakable_ms": None, "target": None}, {}),
        ({"resumes": 2}, {"glottis_resumes_total{receptionist}": 2}),
        ({"fillers": 1}, {"glottis_fillers_total{receptionist}": 1}),
        ({"apologised": True}, {"glottis_apologies_total{receptionist}": 1}),
        ({"cache": "hit"}, {"glottis_cache_total{receptionist,hit}": 1}),
        ({"cache": "miss"}, {"glottis_cache_total{receptionist,miss}": 1}),
        ({"cancel_ms": 4.0}, {"glottis_cancel_seconds_count{}": 1, "glottis_cancel_seconds_sum{}": 0.004}),
    ],
)
def test_what_is_not_in_every_turn(metrics: Metrics, fields: dict[str, Any], expected: dict[str, float]) -> None:
    """Fallbacks, resumes, fillers, apologies, the cache and cancelling are counted where they happened."""
    names = ("fallbacks", "resumes", "fillers", "apologies", "cache", "cancel")
    found = counted(metrics, msgspec.structs.replace(TURN, **fields))
    assert {key: value for key, value in found.items() if key.startswith(tuple(f"glottis_{n}_" for n in names))} == (
        expected
    )


def test_every_end_has_a_series_from_the_first_turn_on(metrics: Metrics) -> None:
    """Prometheus sees the step from 0 to 1, which it cannot where a series begins at 1."""
    metrics.turn_ended(TURN)
    text = metrics.exposition("")[0].decode()
    assert all(f'glottis_turns_total{{end="{end}",route="receptionist"}}' in text for end in get_args(End))


@pytest.mark.parametrize("model", ["gpt-4.1", "x" * 500, 'a"b\nc', OTHER])
def test_a_name_that_is_no_route_is_other(metrics: Metrics, model: str) -> None:
    """A caller may send any model name; none of them becomes a label."""
    found = counted(metrics, *(msgspec.structs.replace(TURN, route=route, model=model) for route in (None, model)))
    assert found["glottis_turns_total{other,completed}"] == 2


def test_targets_are_bounded(metrics: Metrics) -> None:
    """The configured targets have their labels whatever comes; of the others only so many, and all are counted."""
    attempts = [msgspec.structs.replace(ANSWERED, target=f"openai/{n}") for n in range(MOST_TARGETS + 50)]
    metrics.turn_ended(msgspec.structs.replace(TURN, attempts=attempts))
    found = counted(metrics, TURN)
    answered = {key: value for key, value in found.items() if key.startswith("glottis_attempts_total")}
    assert len(answered) == MOST_TARGETS + 2
    assert answered["glottis_attempts_total{other,answered}"] == 50
    assert answered["glottis_attempts_total{openai/a,answered}"] == 1


UNPAID = msgspec.structs.replace(ANSWERED, usage=None)


@pytest.mark.parametrize(
    ("records", "answered", "failed"),
    [
        # The first asked for the answer, the copy was the last to hear it: the copy tells what it cost.
        ([{"attempts": [UNPAID], "usage": None}, {"shares": "req_1"}], 1, 0),
        ([{}, {"shares": "req_1", "attempts": [UNPAID], "usage": None}], 1, 0),
        # Nobody answered, so that nothing is paid.
        ([{"attempts": [FAILED], "usage": None}, {"shares": "req_1", "attempts": [FAILED], "usage": None}], 0, 1),
    ],
)
def test_a_shared_answer_is_paid_once(
    metrics: Metrics, records: list[dict[str, Any]], answered: int, failed: int
) -> None:
    """Turns that share an answer are each a turn, but the upstream calls and the tokens are one turn's."""
    found = counted(metrics, *(msgspec.structs.replace(TURN, **fields) for fields in records))
    assert found["glottis_turns_total{receptionist,completed}"] == 2
    assert found.get("glottis_attempts_total{openai/a,answered}", 0) == answered
    assert found.get("glottis_attempts_total{openai/b,failed}", 0) == failed
    assert found.get("glottis_tokens_total{receptionist,prompt}", 0) == 100 * answered


def test_gauges_are_what_they_are_when_asked(metrics: Metrics) -> None:
    """A gauge is read when somebody asks."""
    turns = [0]
    metrics.watch("glottis_turns_in_flight", lambda: turns[0])
    assert "glottis_turns_in_flight{}" not in samples(metrics)
    turns[0] = 7
    assert samples(metrics)["glottis_turns_in_flight{}"] == 7


def test_a_target_that_is_well_again(metrics: Metrics) -> None:
    """What a gauge does not hear of any more is 0, and those beyond the bound share the worst of them."""
    states: dict[str, float] = {"openai/a": 2, **{f"openai/{n}": 1 for n in range(MOST_TARGETS)}}
    states |= {"openai/beyond": 2, "openai/beyond-too": 1}
    metrics.watch("glottis_breaker_state", lambda: states)
    found = samples(metrics)
    assert (found["glottis_breaker_state{openai/a}"], found["glottis_breaker_state{other}"]) == (2, 2)
    states.clear()
    assert not any(name.startswith("glottis_breaker_state") for name in samples(metrics))


def test_requests_that_became_no_turn(metrics: Metrics) -> None:
    """They are counted by their error."""
    for error in ("InvalidKey", "InvalidKey", "InvalidRequest"):
        metrics.refused(error)
    found = samples(metrics)
    assert found["glottis_requests_refused_total{InvalidKey}"] == 2
    assert found["glottis_requests_refused_total{InvalidRequest}"] == 1


@pytest.mark.parametrize(
    ("accept", "content_type", "read"),
    [
        ("", "text/plain; version=0.0.4", parse),
        ("text/html", "text/plain; version=0.0.4", parse),
        (
            "application/openmetrics-text; version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text",
            parse_openmetrics,
        ),
    ],
)
def test_formats(metrics: Metrics, accept: str, content_type: str, read: Callable[[str], Any]) -> None:
    """Whoever asks gets the format that they can read, and every metric is in it."""
    metrics.turn_ended(TURN)
    body, told = metrics.exposition(accept)
    assert told.startswith(content_type)
    names = {family.name for family in read(body.decode())}
    assert names == {name.removesuffix("_total") for name in METERS}

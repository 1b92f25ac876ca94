"""Spans made of records: every field that a record may have or lack, and who decides which turns are traced."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from gateway import ROOT
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from app.domain.events import Usage
from app.domain.turn import Attempt, TurnRecord
from app.telemetry.spans import FAULTS, MOMENTS, NAMED, Spans

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BEGAN_AT = 1_795_000_000.25

BARE = TurnRecord(
    request_id="req_1",
    conversation_id=None,
    model="desk",
    stream=False,
    end="completed",
    status=200,
    target=None,
    attempts=[],
    error=None,
    first_speakable_ms=None,
    total_ms=120.5,
    text_chars=0,
    tool_calls=0,
    finish_reason=None,
    usage=None,
    began_at=BEGAN_AT,
)
ATTEMPT = Attempt(target="openai/gpt-4.1", began_ms=1.5, duration_ms=100.0, outcome="answered")


def spans(*attempts: Attempt, made_by: Spans | None = None, **fields: Any) -> list[ReadableSpan]:
    """Return the spans of a record with these fields and attempts, which can be encoded too."""
    made = (made_by or Spans({})).of(msgspec.structs.replace(BARE, attempts=list(attempts), **fields))
    assert len(encode_spans(made).SerializeToString()) > 0 or not made
    return made


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    """Return a span's attributes."""
    assert span.attributes is not None
    return span.attributes


def test_a_record_that_says_little() -> None:
    """What a record does not say is not said of its span either; only a time of 0 is one."""
    (turn,) = spans(first_speakable_ms=0.0)
    assert attributes(turn) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "desk",
        "http.response.status_code": 200,
        "glottis.request_id": "req_1",
        "glottis.end": "completed",
        "glottis.first_speakable_ms": 0.0,
    }
    assert [event.name for event in turn.events] == ["first_speakable"]


def test_a_request_that_was_refused_before_it_was_read() -> None:
    """A request whose model is not known is a turn all the same."""
    (turn,) = spans(model="", end="invalid_request", status=401, error="InvalidKey: none was sent")
    assert turn.name == "chat"
    assert "gen_ai.request.model" not in attributes(turn)
    assert attributes(turn)["error.type"] == "InvalidKey"


def test_a_record_that_says_everything() -> None:
    """Each field that the documentation names is an attribute, and each moment an event in its time."""
    numbers = {name: 7.5 for name in NAMED if name.endswith("_ms")}
    said = {
        "route": "desk", "key": "agent", "target": "openai/gpt-4.1", "text_chars": 3, "tool_calls": 1, "resumes": 1,
        "fillers": 2, "apologised": True, "shares": "req_0", "cache": "hit", "cost_usd": 0.001,
    }  # fmt: skip
    (turn,) = spans(**numbers, **said)
    named = {f"glottis.{name}": value for name, value in (numbers | said).items()}
    assert named.items() <= attributes(turn).items()
    assert {f"glottis.{name}" for name in NAMED} <= set(attributes(turn))
    began_ns = int(BEGAN_AT * 1e9)
    assert [(event.name, event.timestamp) for event in turn.events] == [
        (name, began_ns + 7_500_000) for name in MOMENTS
    ]


def test_names_are_fields() -> None:
    """Everything that is named is a field of the record, so that none is lost by a misspelling."""
    fields = set(TurnRecord.__struct_fields__)
    assert set(NAMED) | {f"{moment}_ms" for moment in MOMENTS} <= fields


def test_times() -> None:
    """Spans begin and end when the turn and the call did, in Unix nanoseconds."""
    turn, call = spans(ATTEMPT)
    began_ns = int(BEGAN_AT * 1e9)
    assert (turn.start_time, turn.end_time) == (began_ns, began_ns + 120_500_000)
    assert (call.start_time, call.end_time) == (began_ns + 1_500_000, began_ns + 101_500_000)


def test_a_call_that_was_under_way() -> None:
    """Of a shared answer the call may have begun before the turn."""
    turn, call = spans(msgspec.structs.replace(ATTEMPT, began_ms=-80.0), shares="req_0")
    assert call.start_time == turn.start_time - 80_000_000


def test_tokens() -> None:
    """All kinds of tokens stand under the names of the conventions, and a guess is called one."""
    usage = Usage(10, 5, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=2, estimated=True)
    _, call = spans(msgspec.structs.replace(ATTEMPT, usage=usage))
    counts = {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "glottis.usage_estimated": True,
    }
    assert counts.items() <= attributes(call).items()


@pytest.mark.parametrize("outcome", ["answered", "failed", "cut", "lost", "left"])
def test_a_call_s_status(outcome: Any) -> None:
    """A call is an error if the provider failed, not if another was faster or the caller went."""
    _, call = spans(msgspec.structs.replace(ATTEMPT, outcome=outcome))
    assert (call.status.status_code is StatusCode.ERROR) == (outcome in ("failed", "cut"))


@pytest.mark.parametrize(
    "end", [*sorted(FAULTS), "completed", "length", "refused", "caller_gone", "limit", "invalid_request"]
)
def test_a_turn_s_status(end: Any) -> None:
    """A turn is an error if the server or a provider failed; its class is told, its words are not."""
    (turn,) = spans(end=end, error="ProviderBroken: words that may repeat what was said")
    assert (turn.status.status_code is StatusCode.ERROR) == (end in FAULTS)
    assert turn.status.description is None
    assert attributes(turn)["error.type"] == "ProviderBroken"


@pytest.mark.parametrize(
    ("target", "provider", "model", "kind"),
    [
        ("openai/gpt-4.1", "openai", "gpt-4.1", SpanKind.CLIENT),
        ("vendor/meta/llama-4", "vendor", "meta/llama-4", SpanKind.CLIENT),
        ("function/my_agent:answer", "function", "my_agent:answer", SpanKind.INTERNAL),
    ],
)
def test_targets(target: str, provider: str, model: str, kind: SpanKind) -> None:
    """A target is a provider and its model; a user's own function is no call to anywhere."""
    _, call = spans(msgspec.structs.replace(ATTEMPT, target=target))
    assert (call.name, call.kind) == (f"chat {model}", kind)
    assert attributes(call)["gen_ai.provider.name"] == provider
    assert attributes(call)["gen_ai.request.model"] == model


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("https://api.openai.com/v1", "api.openai.com", 443),
        ("http://10.0.0.7/v1", "10.0.0.7", 80),
        ("http://[::1]:8000/v1", "::1", 8000),
    ],
)
def test_where_the_provider_is(url: str, address: str, port: int) -> None:
    """A call has its server's address and port, also where the URL has none; others than HTTP have neither."""
    _, call, other = spans(ATTEMPT, msgspec.structs.replace(ATTEMPT, target="local/x"), made_by=Spans({"openai": url}))
    assert (attributes(call)["server.address"], attributes(call)["server.port"]) == (address, port)
    assert "server.address" not in attributes(other)


def of_trace(flags: str, made_by: Spans) -> list[ReadableSpan]:
    """Return the spans of a turn that came with a place in a trace."""
    return spans(ATTEMPT, made_by=made_by, traceparent=f"00-{TRACE}-{PARENT}-{flags}")


def test_the_callers_trace() -> None:
    """A turn is a child of the caller's span, in the caller's trace."""
    turn, call = of_trace("01", Spans({}))
    assert turn.parent is not None
    assert (f"{turn.context.trace_id:032x}", f"{turn.parent.span_id:016x}") == (TRACE, PARENT)
    assert call.parent == turn.context
    assert turn.parent.is_remote


@pytest.mark.parametrize(
    "header", [f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01"]
)
def test_a_trace_that_is_none(header: str) -> None:
    """A traceparent that the W3C calls invalid begins no other trace than none would."""
    turn, call = spans(ATTEMPT, traceparent=header)
    assert turn.parent is None
    assert f"{turn.context.trace_id:032x}" != TRACE
    assert call.context.trace_id == turn.context.trace_id


@pytest.mark.parametrize(
    ("made_by", "alone", "unsampled", "sampled"),
    [
        (Spans({}), 2, 0, 2),
        (Spans({}, ratio=0.0), 0, 0, 2),
        (Spans({}, ratio=0.0, follows_caller=False), 0, 0, 0),
        (Spans({}, ratio=1.0, follows_caller=False), 2, 2, 2),
    ],
    ids=["parentbased_always_on", "parentbased_always_off", "always_off", "always_on"],
)
def test_who_decides(made_by: Spans, alone: int, unsampled: int, sampled: int) -> None:
    """The caller decides whether its own trace goes on, if the sampler follows callers; else the sampler does."""
    found = (spans(ATTEMPT, made_by=made_by), of_trace("00", made_by), of_trace("01", made_by))
    assert tuple(map(len, found)) == (alone, unsampled, sampled)


def test_a_share_of_the_turns() -> None:
    """A ratio of 0.25 traces a quarter of the turns, and always all of a turn or nothing."""
    made_by = Spans({}, ratio=0.25)
    found = [len(spans(ATTEMPT, made_by=made_by)) for _ in range(2000)]
    assert set(found) == {0, 2}
    assert 400 < found.count(2) < 600  # 5 standard deviations


def documented(heading: str) -> set[str]:
    """Return the attributes that a table of docs/traces.md names, those of one row too."""
    table = (ROOT / "docs" / "traces.md").read_text().partition(f"| {heading} | meaning |\n")[2].partition("\n\n")[0]
    names = set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE))
    if "glottis.NAME" in names:
        row = next(line for line in table.splitlines() if "glottis.NAME" in line)
        names = names - {"glottis.NAME"} | {f"glottis.{name}" for name in re.findall(r"`(\w+)`", row)}
    return names


def test_every_attribute_is_in_the_docs() -> None:
    """docs/traces.md names every attribute that a span may have, and no other."""
    everything: dict[str, Any] = dict.fromkeys(NAMED, 7.5) | {
        "conversation_id": "conv_1", "stream": True, "target": "openai/gpt-4.1", "finish_reason": "stop",
        "error": "ProviderBroken: cut", "end": "provider_error",
    }  # fmt: skip
    attempt = msgspec.structs.replace(
        ATTEMPT, error="ProviderBroken", upstream_status=500, response_model="gpt-4.1-2025-04-14",
        usage=Usage(10, 5, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=2, estimated=True),
    )  # fmt: skip
    turn, call = spans(attempt, made_by=Spans({"openai": "https://api.openai.com/v1"}), **everything)
    assert set(attributes(turn)) == documented("attribute of the turn")
    assert set(attributes(call)) == documented("attribute of a call")

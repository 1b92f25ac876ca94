"""A turn's record as spans of OpenTelemetry: one for the turn, and under it one for each upstream call.

Names and attributes are those of the GenAI semantic conventions; what they have no name for is `glottis.*`. Nothing of
what was said is in them, and of an error only its class: a provider's own words may repeat what was said.

The spans are made when the turn is over, so the SDK's tracer has nothing to trace. Nor is its TracerProvider used: it
registers a hook that starts a thread in every child process, and under gevent that runs this process' own greenlets,
which serve callers, in the child as well.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.domain.turn import Attempt, End, TurnRecord

NAMED = (
    "request_id", "route", "key", "end", "target", "overhead_ms", "first_byte_ms", "first_speakable_ms",
    "first_sentence_ms", "largest_gap_ms", "cancel_ms", "text_chars", "tool_calls", "resumes", "fillers", "apologised",
    "shares", "cache", "cost_usd",
)  # fmt: skip
"""Fields of a record that a turn's span has as `glottis.NAME`, unless they are None, False, or a count of 0."""

MOMENTS = ("first_byte", "first_speakable", "first_sentence")
"""Events on a turn's span, by the record's fields of that name with `_ms`."""

FAULTS: frozenset[End] = frozenset({"provider_error", "provider_timeout", "drained", "internal"})
"""A turn that ended so counts as an error of the server; a request that was wrong or too much does not."""

TOKENS = {
    "prompt_tokens": gen_ai.GEN_AI_USAGE_INPUT_TOKENS,
    "completion_tokens": gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cached_tokens": gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_write_tokens": gen_ai.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS,
    "reasoning_tokens": gen_ai.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS,
}

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
FAILED = Status(StatusCode.ERROR)
UNSET = Status(StatusCode.UNSET)
NOBODY = Context()

Attributes = dict[str, Any]


class Spans:
    """Makes the spans of turns. 15 to 30 us a turn with one attempt, on a slow machine."""

    def __init__(self, base_urls: Mapping[str, str], *, ratio: float = 1.0, follows_caller: bool = True) -> None:
        """Take where the providers are, by their names, and how many turns have spans, as settings.traces says."""
        every = TraceIdRatioBased(ratio)
        self._sampler: Sampler = ParentBased(every) if follows_caller else every
        self._addresses = {name: _address(url) for name, url in base_urls.items()}
        self._ids = RandomIdGenerator()
        self._propagator = TraceContextTextMapPropagator()
        self._scope = InstrumentationScope("glottis", __version__)
        own = {
            "service.name": "glottis",
            "service.version": __version__,
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.version": sdk_version,
        }
        # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
        self._resource = Resource(own).merge(OTELResourceDetector().detect())

    def of(self, record: TurnRecord) -> list[ReadableSpan]:
        """Return the turn's span and those of its attempts; none where the sampler wants none."""
        context = NOBODY
        if record.traceparent is not None:
            context = self._propagator.extract({"traceparent": record.traceparent}, NOBODY)
        parent = get_current_span(context).get_span_context()
        caller = parent if parent.is_valid else None
        trace_id = self._ids.generate_trace_id() if caller is None else caller.trace_id
        name, attributes = f"chat {record.model}".rstrip(), _of_turn(record)
        sampled = self._sampler.should_sample(context, trace_id, name, SpanKind.SERVER, attributes)
        if sampled.decision is not Decision.RECORD_AND_SAMPLE:
            return []
        began_ns = int(record.began_at * 1e9)
        here = self._context(trace_id)
        turn = ReadableSpan(
            name,
            here,
            caller,
            self._resource,
            attributes,
            list(_moments(record, began_ns)),
            kind=SpanKind.SERVER,
            status=FAILED if record.end in FAULTS else UNSET,
            start_time=began_ns,
            end_time=began_ns + _ns(record.total_ms),
            instrumentation_scope=self._scope,
        )
        return [turn, *(self._of_attempt(attempt, here, record) for attempt in record.attempts)]

    def _context(self, trace_id: int) -> SpanContext:
        return SpanContext(trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=SAMPLED)

    def _of_attempt(self, attempt: Attempt, turn: SpanContext, record: TurnRecord) -> ReadableSpan:
        provider, _, model = attempt.target.partition("/")
        attributes: Attributes = {
            gen_ai.GEN_AI_OPERATION_NAME: "chat",
            gen_ai.GEN_AI_PROVIDER_NAME: provider,
            gen_ai.GEN_AI_REQUEST_MODEL: model,
            "glottis.outcome": attempt.outcome,
            **self._addresses.get(provider, {}),
        }
        if attempt.response_model is not None:
            attributes[gen_ai.GEN_AI_RESPONSE_MODEL] = attempt.response_model
        if attempt.outcome == "answered" and record.finish_reason is not None:
            attributes[gen_ai.GEN_AI_RESPONSE_FINISH_REASONS] = [record.finish_reason]
        if record.conversation_id is not None:
            attributes[gen_ai.GEN_AI_CONVERSATION_ID] = record.conversation_id
        if attempt.upstream_status is not None:
            attributes[HTTP_RESPONSE_STATUS_CODE] = attempt.upstream_status
        if attempt.error is not None:
            attributes[ERROR_TYPE] = attempt.error
        if attempt.usage is not None:
            counts = {name: getattr(attempt.usage, field) for field, name in TOKENS.items()}
            attributes |= {name: count for name, count in counts.items() if count}
            if attempt.usage.estimated:
                attributes["glottis.usage_estimated"] = True
        began_ns = int(record.began_at * 1e9) + _ns(attempt.began_ms)
        return ReadableSpan(
            f"chat {model}",
            self._context(turn.trace_id),
            turn,
            self._resource,
            attributes,
            # The conventions have INTERNAL for a model in the same process.
            kind=SpanKind.INTERNAL if provider == "function" else SpanKind.CLIENT,
            status=FAILED if attempt.outcome in ("failed", "cut") else UNSET,
            start_time=began_ns,
            end_time=began_ns + _ns(attempt.duration_ms),
            instrumentation_scope=self._scope,
        )


def _of_turn(record: TurnRecord) -> Attributes:
    attributes: Attributes = {
        gen_ai.GEN_AI_OPERATION_NAME: "chat",
        HTTP_RESPONSE_STATUS_CODE: record.status,
    }
    if record.model:  # there is none where the request was refused before it was read
        attributes[gen_ai.GEN_AI_REQUEST_MODEL] = record.model
    if record.stream:
        attributes[gen_ai.GEN_AI_REQUEST_STREAM] = True
    if record.target is not None:
        attributes[gen_ai.GEN_AI_PROVIDER_NAME] = record.target.partition("/")[0]
    if record.conversation_id is not None:
        attributes[gen_ai.GEN_AI_CONVERSATION_ID] = record.conversation_id
    if record.finish_reason is not None:
        attributes[gen_ai.GEN_AI_RESPONSE_FINISH_REASONS] = [record.finish_reason]
    if record.error is not None:
        attributes[ERROR_TYPE] = record.error.partition(":")[0]
    values = {name: getattr(record, name) for name in NAMED}
    return attributes | {
        f"glottis.{name}": value for name, value in values.items() if value or isinstance(value, float)
    }


def _moments(record: TurnRecord, began_ns: int) -> Iterator[Event]:
    for moment in MOMENTS:
        at_ms = getattr(record, f"{moment}_ms")
        if at_ms is not None:
            yield Event(moment, timestamp=began_ns + _ns(at_ms))


def _ns(ms: float) -> int:
    return int(ms * 1e6)


def _address(url: str) -> Attributes:
    parts = urlsplit(url)
    return {SERVER_ADDRESS: parts.hostname, SERVER_PORT: parts.port or (443 if parts.scheme == "https" else 80)}

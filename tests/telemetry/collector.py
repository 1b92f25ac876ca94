"""A collector of traces on a real socket: takes OTLP over HTTP in protobuf, as it is specified, and nothing else.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import gzip
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from upstreams import Answer, Recorded, Upstream

TRACES = "POST /v1/traces"


@dataclass
class Received:
    """A span as it arrived. Ids are hexadecimal, `parent` is "" for none; times are Unix nanoseconds."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    events: dict[str, int]
    failed: bool
    told: str
    resource: dict[str, Any]


class Collector(Upstream):
    """Keeps what it is sent; scripted answers for TRACES come before its own."""

    def default_answer(self, recorded: Recorded) -> Answer:
        """Accept what is an export of traces."""
        if recorded.route != TRACES:
            return Answer.error(404, {})
        if recorded.headers.get("content-type") != "application/x-protobuf":
            return Answer.error(415, {})
        return Answer(200, {"content-type": "application/x-protobuf"}, framing="length")

    @property
    def bodies(self) -> list[bytes]:
        """What was sent, unpacked."""
        packed = [(recorded.headers.get("content-encoding"), recorded.body) for recorded in self.requests]
        return [gzip.decompress(body) if encoding == "gzip" else body for encoding, body in packed]

    def turn(self, conversation: str, spans: int = 2, timeout_s: float = 10.0) -> list[Received]:
        """Wait for all spans of the one turn of a conversation, and return them, its own first."""
        deadline, count = time.monotonic() + timeout_s, 0
        while time.monotonic() < deadline:
            ours = [span for span in self.spans() if span.attributes.get("gen_ai.conversation.id") == conversation]
            if ours:
                assert len(ours) == spans, ours
                return sorted(ours, key=lambda span: (span.kind != "SERVER", span.began_ns))
            count = len(self.wait_for_requests(count + 1, deadline - time.monotonic()))
        raise AssertionError(f"no span of {conversation}")

    def spans(self) -> list[Received]:
        """Return all spans so far."""
        exports = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            _received(span, of.resource.attributes)
            for export in exports
            for of in export.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]


def _received(span: Span, resource: Iterable[KeyValue]) -> Received:
    return Received(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        events={event.name: event.time_unix_nano for event in span.events},
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        told=span.status.message,
        resource=_plain(resource),
    )


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, str(kind))

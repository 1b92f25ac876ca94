"""Traces: the observer that sends each turn's spans to a collector, by OTLP over HTTP, in protobuf.

A turn pays for one append. A greenlet, which lives only while something waits, makes the spans and sends them: a few
at a time, because encoding one costs 0.1 ms during which no caller hears anything. A collector that is slow or away
costs memory up to a bound and then spans, never a turn.

The SDK's BatchSpanProcessor does the same with a thread, and as the TracerProvider (spans.py) it begins one anew in
every child process, where gevent would then run this process' greenlets a second time.
"""

import logging
from collections import deque
from typing import Any

import gevent
from gevent.event import Event
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from app.domain.errors import unforeseen
from app.domain.turn import TurnRecord
from app.telemetry.logs import log
from app.telemetry.spans import Spans

GATHER_S = 1.0
"""From a turn's end to its spans' leaving, so that several leave together."""

MOST_SPANS = 24
"""In one request; a turn's own are never parted. 3 ms of encoding."""

MOST_WAITING = 2048
"""Turns: about 6 MB."""

LAST_S = 1.0
"""For what is left when the worker ends."""


class Traces:
    """An Observer and a Resident (domain.ports)."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._waiting: deque[TurnRecord] = deque()
        self._sender: Any = None
        self._is_stopping = Event()
        self._lost = 0
        self._complaints = Complaints()
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [self._complaints], False
        self._exporter = OTLPSpanExporter()

    def turn_ended(self, record: TurnRecord) -> None:
        """Let the turn's spans be sent; see domain.ports.Observer. 0.4 us."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(record)
        if self._sender is None or self._sender.dead:
            self._sender = gevent.spawn(self._send)

    def start(self) -> None:
        """Do nothing: before the first turn there is neither a greenlet nor a connection."""

    def stop(self) -> None:
        """Send what is left, and wait no longer than LAST_S for it."""
        self._is_stopping.set()
        if self._sender is not None:
            self._sender.join(LAST_S)
            self._sender.kill(block=False)
        self._lost += len(self._waiting)
        self._tell_lost()

    def _send(self) -> None:
        """Send until nothing waits."""
        self._is_stopping.wait(GATHER_S)
        is_taken = False
        while self._waiting:
            try:
                is_taken = self._export()
            except Exception as error:
                log(logging.ERROR, "traces_failed", error=unforeseen(error).detail)
        if is_taken:
            self._tell_lost()

    def _export(self) -> bool:
        """Send the spans of the first turns; whether there were any, and the collector has them."""
        spans: list[ReadableSpan] = []
        turns = 0
        while self._waiting and len(spans) < MOST_SPANS:
            turns += 1
            spans += self._spans.of(self._waiting.popleft())
        gevent.sleep(0)
        if not spans:
            return False
        self._lost += turns  # unless the collector has them, whatever ends the waiting for it
        is_taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        if is_taken:
            self._lost -= turns
            self._complaints.forget()
        return is_taken

    def _tell_lost(self) -> None:
        if self._lost:
            log(logging.WARNING, "traces_lost", turns=self._lost)
            self._lost = 0


class Complaints(logging.Handler):
    """Passes on what OpenTelemetry complains of, each complaint once until `forget`.

    Of what was to be told with it only the exporter's numbers, reasons and classes of errors go into the log: other
    parts of it complain of a header by quoting it, with the key in it.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Log a complaint that is new."""
        if record.msg in self._told:
            return
        self._told.add(record.msg)
        message = record.msg
        if record.name.startswith("opentelemetry.exporter.") and isinstance(record.args, tuple):
            message %= tuple(type(arg).__name__ if isinstance(arg, Exception) else arg for arg in record.args)
        log(record.levelno, "opentelemetry", message=message)

    def forget(self) -> None:
        """Let every complaint be new again."""
        self._told.clear()

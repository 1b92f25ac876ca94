"""One JSON line per turn on standard output: why a caller heard nothing stands in it, what was said never does."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.domain.turn import TurnRecord

LOGGER = logging.getLogger("glottis")

LEVELS = {
    "provider_error": logging.WARNING,
    "provider_timeout": logging.WARNING,
    "internal": logging.ERROR,
}
"""The level of a turn by its end; every other end is normal."""


class JSONFormatter(logging.Formatter):
    """A record as one line: time, level, event, and the fields that came in `extra={"fields": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception is left out, because its message may hold what was said."""
        fields: Any = getattr(record, "fields", None)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        head, tail = msgspec.json.encode(line), msgspec.json.encode(fields or {})
        return (head if tail == b"{}" else head[:-1] + b"," + tail[1:]).decode()


def configure(level: str) -> None:
    """Send Glottis' own log to standard output, from this level up.

    What no line tells is not collected either (logging's own page, "Optimization"): the caller's place costs most.
    """
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False  # not the process: gunicorn's own lines name it
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONFormatter())
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level.upper())
    LOGGER.propagate = False


def log(level: int, event: str, **fields: Any) -> None:
    """Write one line; the fields must hold neither content nor keys."""
    LOGGER.log(level, event, extra={"fields": fields})


class TurnLog:
    """The observer that writes a turn's line."""

    def turn_ended(self, record: TurnRecord) -> None:
        """Write the line; see domain.ports.Observer."""
        LOGGER.log(LEVELS.get(record.end, logging.INFO), "turn", extra={"fields": record})

"""What others would print, as lines of our log: gunicorn, libraries, Python's warnings, and errors that nobody caught.

The words of an exception are left out, because they may hold what was said or a key: its class and place are told.
"""

import logging
import sys
import threading
from types import TracebackType
from typing import Any

import gevent.hub
from gunicorn.glogging import Logger

from app.domain.errors import place_of
from app.telemetry.logs import log

LIBRARIES = ("site-packages", "dist-packages")


class ToOurLog(logging.Handler):
    """Writes what comes by way of logging."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of our own as it is meant, a line `server` for gunicorn's, and `library` for any other."""
        if (fields := getattr(record, "fields", None)) is not None:
            log(record.levelno, record.getMessage(), **fields)
            return
        event = "server" if record.name.startswith("gunicorn.") else "library"
        told: dict[str, Any] = {"logger": record.name, "message": _message(record), "pid": record.process}
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = _named(record.exc_info[1])
        log(record.levelno, event, **told)


def _message(record: logging.LogRecord) -> str:
    """Return the message; of a library's without what it was filled with, since that may be anything."""
    is_ours_to_read = record.name.startswith("gunicorn.") or not any(name in record.pathname for name in LIBRARIES)
    return record.getMessage() if is_ours_to_read else str(record.msg)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__} at {place_of(error)}"


def _uncaught(error: BaseException | None, kind: type[BaseException] | None = None) -> None:
    named = _named(error) if error is not None else getattr(kind, "__name__", "unknown")
    log(logging.ERROR, "internal_error", error=named)


def _in_the_hub(
    hub: Any, context: Any, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    del hub, context, trace
    _uncaught(error, kind)


def take_over() -> None:
    """Let nothing be printed but lines of our log; for the process of the server alone."""
    logging.getLogger().handlers = [ToOurLog()]
    logging.captureWarnings(True)
    threading.excepthook = lambda args: _uncaught(args.exc_value, args.exc_type)
    sys.unraisablehook = lambda args: _uncaught(args.exc_value, args.exc_type)
    gevent.hub.Hub.print_exception = _in_the_hub


class ServerLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's logger, for its `logger_class`. Files that its own settings name stay as they are."""

    def setup(self, cfg: Any) -> None:
        """Take over what goes to standard output and error."""
        super().setup(cfg)
        if cfg.errorlog == "-":
            self.error_log.handlers = [each for each in self.error_log.handlers if not hasattr(each, "_gunicorn")]
            self.error_log.addHandler(ToOurLog())
        take_over()

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        """Write a line `access`, where `--access-logfile -` asks for one, as Heroku does; without the query."""
        if self.cfg.accesslog != "-":
            super().access(resp, req, environ, request_time)
            return
        log(
            logging.INFO,
            "access",
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            status=int(str(resp.status).split()[0]),
            bytes=resp.sent,
            request_id=environ.get("glottis.request_id"),
            total_ms=round(request_time.total_seconds() * 1000, 1),
        )

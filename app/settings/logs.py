"""What the log tells, and how."""

from typing import Literal

from environs import Env
from marshmallow import validate
from msgspec import Struct

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("json", "logfmt", "console")


class LogSettings(Struct, frozen=True):
    """From which level up, in which form, and whether what was said stands in it."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "logfmt", "console"] = "json"
    content: bool = False


def read(env: Env) -> LogSettings:
    """Return what variables set of the log."""
    return LogSettings(
        level=env.str("LOG_LEVEL", "info", validate=validate.OneOf(LEVELS)),  # type: ignore[arg-type]
        format=env.str("LOG_FORMAT", "json", validate=validate.OneOf(FORMATS)),  # type: ignore[arg-type]
        content=env.bool("LOG_CONTENT", False),
    )

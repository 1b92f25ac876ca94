"""What clients get and may do before anybody looks at what they want: browsers' origins, and time for a request."""

import re

from environs import Env
from marshmallow import ValidationError, validate
from msgspec import Struct

ORIGIN = re.compile(r"https?://[a-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
"""As a browser sends it: without a path, in small letters."""


class Clients(Struct, frozen=True, kw_only=True):
    """`cors_origins` may hold "*"; `hsts_s` is 0 where nothing is said of TLS."""

    cors_origins: list[str]
    hsts_s: int
    header_timeout_s: float
    body_timeout_s: float


def read(env: Env) -> Clients:
    """Return what variables set."""
    return Clients(
        cors_origins=env.list("CORS_ORIGINS", [], validate=_origins) or [],
        hsts_s=env.int("HSTS_S", 0, validate=validate.Range(min=0)),
        header_timeout_s=env.float("HEADER_TIMEOUT_S", 10.0, validate=validate.Range(0.1, 600)),
        body_timeout_s=env.float("BODY_TIMEOUT_S", 10.0, validate=validate.Range(0.1, 600)),
    )


def _origins(origins: list[str]) -> None:
    if not all(origin == "*" or ORIGIN.fullmatch(origin) for origin in origins):
        raise ValidationError("Expected origins between commas, such as https://app.example.com, or *.")

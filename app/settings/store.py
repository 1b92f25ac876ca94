"""Where what workers and machines share is kept: the address of a Valkey or Redis, and what its failure means."""

import os
from typing import Any
from urllib.parse import urlsplit

from environs import Env
from marshmallow import ValidationError, validate
from msgspec import Struct

from app.domain.config import Secret

SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss"}
"""By their names at redis-py, which knows Redis' alone; the longer ones are TLS."""


class StoreSettings(Struct, frozen=True, kw_only=True):
    """The store's address, None for none, and whether its certificate is verified.

    `timeout_s` is the longest wait for it, `fail_closed` whether turns are refused while it is down.
    """

    url: Secret | None = None
    verify: bool = True
    timeout_s: float = 0.2
    fail_closed: bool = False


def read(env: Env) -> dict[str, Any]:
    """Return the settings of the store.

    Heroku's own Key-Value Store has a self-signed certificate, and its address comes in REDIS_URL: on a dyno that
    variable's certificate is not verified, and any other always is.
    """
    valkey = env.str("VALKEY_URL", "", validate=_store_or_empty) or ""
    redis = env.str("REDIS_URL", "", validate=_store_or_empty) or ""
    settings = StoreSettings(
        url=Secret(_as_redis(valkey or redis)) or None,
        verify=bool(valkey) or "DYNO" not in os.environ,
        timeout_s=env.float("STORE_TIMEOUT_S", 0.2, validate=validate.Range(0.01, 10)) or 0.2,
        fail_closed=env.bool("STORE_FAIL_CLOSED", False),
    )
    return {"store": settings}


def _as_redis(url: str) -> str:
    scheme, separator, rest = url.strip().partition("://")
    return SCHEMES.get(scheme, scheme) + separator + rest


def _store_or_empty(text: str) -> None:
    """Refuse what is no address; a bad one is not repeated, because it may hold a password."""
    if not text.strip():
        return
    try:
        url = urlsplit(text.strip())
        is_good = url.scheme in SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValidationError("Expected an address such as valkey://HOST:6379 or rediss://:PASSWORD@HOST:6379.")
    if not url.path.strip("/").isdecimal() and url.path.strip("/"):
        raise ValidationError("Expected nothing behind the port but the number of a database.")
    if url.query or url.fragment:
        raise ValidationError("Options behind a question mark are not taken.")

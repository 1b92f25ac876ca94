"""How often a key may call, for all routes alike, and whom to believe about a caller's address."""

import os
from typing import Any

from environs import Env
from marshmallow import validate

_WHOLE = validate.Range(min=0)


def read(env: Env) -> dict[str, Any]:
    """Return the fields of Settings that tell who calls. Heroku's router is one proxy."""
    hops = 1 if "DYNO" in os.environ else 0
    return {"trusted_hops": env.int("TRUSTED_HOPS", hops, validate=validate.Range(0, 10))}


def usual(env: Env) -> dict[str, int]:
    """Return the limits that hold where glottis.toml says nothing else; 0 is none."""
    return {
        "requests_per_minute": env.int("LIMIT_REQUESTS_PER_MINUTE", 0, validate=_WHOLE) or 0,
        "tokens_per_minute": env.int("LIMIT_TOKENS_PER_MINUTE", 0, validate=_WHOLE) or 0,
        "turns_at_once": env.int("LIMIT_TURNS_AT_ONCE", 0, validate=_WHOLE) or 0,
    }

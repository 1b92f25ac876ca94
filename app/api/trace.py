"""The caller's place in a trace of their own, as the request's header `traceparent` has it."""

import re
from collections.abc import Mapping
from typing import Any

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""https://www.w3.org/TR/trace-context/; anything else under that name is nobody's trace."""


def traceparent(environ: Mapping[str, Any]) -> str | None:
    """Return the request's header, if it is one."""
    given = environ.get("HTTP_TRACEPARENT", "")
    return given if TRACEPARENT.fullmatch(given) else None

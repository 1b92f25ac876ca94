"""What HTTP says of the answer cache: a request's Cache-Control, and X-Cache on the answer."""

from flask import Response

from app.domain.request import Caching
from app.engine.turn import Turn

UNREAD = {"no-cache", "max-age=0"}


def allowed_by(cache_control: str | None) -> Caching:
    """Return what a request's Cache-Control lets the answer cache do."""
    if not cache_control:
        return "full"
    directives = {directive.strip().lower() for directive in cache_control.split(",")}
    if "no-store" in directives:
        return "none"
    return "write" if directives & UNREAD else "full"


def told(response: Response, turn: Turn) -> Response:
    """Return the response with X-Cache, on routes that have a cache."""
    if turn.request.cache_ttl_s:
        response.headers["X-Cache"] = turn.answer.cache or "miss"
    return response

"""Who may call: API keys in any of three headers, compared in constant time. A view that says nothing needs a key."""

import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from flask import Flask, current_app, g, request

from app.domain.errors import InvalidKey

View = TypeVar("View", bound=Callable[..., object])

HEADERS = ("Authorization", "X-Custom-Auth", "X-API-Key")
"""ElevenLabs sends the agent's secret in the first; the others are for where that does not arrive."""


def public(view: View) -> View:
    """Let anybody call this view."""
    view.auth = "public"  # type: ignore[attr-defined]
    return view


def keyed(view: View) -> View:
    """Let only those call this view who send one of API_KEYS, if there are any."""
    view.auth = "keyed"  # type: ignore[attr-defined]
    return view


def require_key() -> None:
    """Refuse a request for a view that is not public without a good key; raises InvalidKey."""
    view = current_app.view_functions.get(request.endpoint or "")
    keys: Mapping[str, str] = current_app.config["API_KEYS"]
    if view is None or getattr(view, "auth", "keyed") == "public" or not keys:
        return
    g.key_name = key_name(keys, [request.headers.get(header, "") for header in HEADERS])
    if g.key_name is None:
        raise InvalidKey


def key_name(keys: Mapping[str, str], sent: Iterable[str]) -> str | None:
    """Return the name of the key that one of the sent values is, or None; every key is compared, whichever fits."""
    candidates = [_without_scheme(value).encode("utf-8", "surrogatepass") for value in sent]
    found = None
    for name, key in keys.items():
        for candidate in candidates:
            if hmac.compare_digest(candidate, key.encode()):
                found = name
    return found


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def init_app(app: Flask, keys: Mapping[str, str]) -> None:
    """Check the key before every view."""
    app.config["API_KEYS"] = keys
    app.before_request(require_key)

"""Who may call: API keys in any of three headers, compared in constant time. A view that says nothing needs a key."""

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from flask import Flask, Request, current_app, request

from app.domain.errors import InvalidKey, PathNotFound

View = TypeVar("View", bound=Callable[..., object])

HEADERS = ("Authorization", "X-Custom-Auth", "X-API-Key")
"""ElevenLabs sends the agent's secret in the first; the others are for where that does not arrive."""

_IN_ENVIRON = tuple(f"HTTP_{header.upper().replace('-', '_')}" for header in HEADERS)


def public(view: View) -> View:
    """Let anybody call this view."""
    view.auth = "public"  # type: ignore[attr-defined]
    return view


def keyed(view: View) -> View:
    """Let only those call this view who send one of API_KEYS, if there are any."""
    view.auth = "keyed"  # type: ignore[attr-defined]
    return view


def keyed_by(setting: str) -> Callable[[View], View]:
    """Let only those call this view who send a key that this setting holds: API_KEYS do not open it."""

    def mark(view: View) -> View:
        view.auth = setting  # type: ignore[attr-defined]
        return view

    return mark


def require_key() -> None:
    """Refuse a request for a view that is not public without a good key; raises InvalidKey.

    A view with a key of its own is not there, as long as no such key is set: raises PathNotFound.
    """
    # Each look through one of Flask's proxies takes five calls.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    view = app.view_functions.get(asked.endpoint or "")
    if view is None or (auth := getattr(view, "auth", "keyed")) == "public":
        return
    if auth != "keyed":
        _require_own_key(auth)
        return
    keys: Mapping[str, str] = app.config["API_KEYS"]
    if not keys and app.config["ALLOW_ANONYMOUS"]:
        return
    key = sent_key(asked.environ, keys)
    if key is None:
        raise InvalidKey
    asked.environ["glottis.caller"] = keys[key]


def _require_own_key(setting: str) -> None:
    keys: Collection[str] = current_app.config[setting]
    if not keys:
        raise PathNotFound(f"{request.path} is closed on this server: {setting} is not set.")
    if sent_key(request.environ, keys) is None:
        raise InvalidKey(f"Missing or incorrect key. Send the server's {setting} as 'Authorization: Bearer KEY'.")


def sent_key(environ: Mapping[str, Any], keys: Collection[str]) -> str | None:
    """Return which of the keys the request sends; see `key_of`."""
    return key_of(keys, [value for name in _IN_ENVIRON if (value := environ.get(name))])


def key_of(keys: Collection[str], sent: Iterable[str]) -> str | None:
    """Return the key that one of the sent values is; every pair is compared, whichever fits. None if none is.

    What is compared are hashes, so that the time tells nothing of a key's length either.
    """
    candidates = [_digest(text) for value in sent if (text := _without_scheme(value))]
    matches = [key for key in keys for candidate in candidates if hmac.compare_digest(candidate, _digest_of_ours(key))]
    return matches[0] if matches else None


def _digest(text: str) -> bytes:
    # Python's own: SHA-256 is OpenSSL's, and takes twice as long (0.7 us).
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).digest()


_digest_of_ours = cache(_digest)
"""Of the keys in the settings alone."""


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def init_app(app: Flask, keys: Mapping[str, str], *, allow_anonymous: bool) -> None:
    """Check the key before every view. Without keys nobody is let in, unless anonymous use is asked for by name.

    `keys` are by their names, and only the name of one goes any further.
    """
    app.config["API_KEYS"] = {key: name for name, key in keys.items()}
    app.config["ALLOW_ANONYMOUS"] = allow_anonymous
    app.before_request(require_key)

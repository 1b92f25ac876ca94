"""A provider's failure in the domain's words: one table of HTTP statuses and one of transport errors, for all of them.

The statuses are those of both vendors (OpenAI's error codes page; case 35 for Anthropic). What a provider says of a
refused request is passed on, because the caller must mend it, but stripped of keys and addresses.
"""

import email.utils
import re
import time
from collections.abc import Mapping

import httpx2

from app.domain import errors

STATUSES: dict[int, type[errors.ProviderError]] = {
    400: errors.ProviderRequestRefused,
    401: errors.ProviderKeyRefused,
    402: errors.ProviderKeyRefused,
    403: errors.ProviderKeyRefused,
    404: errors.ProviderModelNotFound,
    408: errors.ProviderTimeout,
    413: errors.ProviderRequestTooLarge,
    422: errors.ProviderRequestRefused,
    429: errors.ProviderRateLimited,
    503: errors.ProviderOverloaded,
    504: errors.ProviderTimeout,
    529: errors.ProviderOverloaded,
}
"""What is not named here is a plain ProviderError."""

TRANSPORT: tuple[tuple[type[httpx2.TransportError], type[errors.ProviderError]], ...] = (
    (httpx2.TimeoutException, errors.ProviderTimeout),
    (httpx2.ConnectError, errors.ProviderUnreachable),
    (httpx2.UnsupportedProtocol, errors.ProviderUnreachable),
    (httpx2.TransportError, errors.ProviderBroken),
)

_TOO_LONG = re.compile(
    r"context.(length|window|size)|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)
_SECRETS = re.compile(
    r"(?<![a-z0-9])(?:(?:sk|pk|gsk|csk|xai|key|hf|fw|pplx|nvapi)[-_]|AIza)[\w*.-]{4,}|\bBearer\s+\S+", re.IGNORECASE
)
_ADDRESSES = re.compile(r"\bhttps?://\S+", re.IGNORECASE)
_LONGEST_MESSAGE = 600

_TOLD = {errors.ProviderKeyRefused, errors.ProviderRateLimited, errors.ProviderModelNotFound}
"""Failures whose words the log gets. Others, refusals above all, may quote what a caller said."""

_keys: set[str] = set()


def keep_secret(key: str | None) -> None:
    """Let this key of ours stand in no message, whatever it looks like."""
    if key:
        _keys.add(key)


def from_status(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> errors.ProviderError:
    """Return the error for an upstream HTTP status; the provider's message is for the log, and of 400s the caller."""
    kind = STATUSES.get(status, errors.ProviderError)
    if kind is errors.ProviderRequestRefused and (code == "context_length_exceeded" or _TOO_LONG.search(message)):
        kind, code = errors.ContextTooLong, "context_length_exceeded"
    told, code, param = scrubbed(message), code and scrubbed(code), param and scrubbed(param)
    callers_fault = kind.status in (400, 413)
    is_page = told.startswith("<")  # a proxy's HTML says nothing to a caller
    return kind(
        told if callers_fault and told and not is_page else None,
        param=param if callers_fault else None,
        code=code if kind is errors.ProviderRequestRefused else None,
        detail=told if kind in _TOLD else f"code {code}, param {param}",
        retry_after_s=retry_after_s(headers or {}),
        upstream_status=status,
    )


def from_transport(error: BaseException) -> errors.ProviderError | None:
    """Return the error for a failure below HTTP; None for what is none."""
    for theirs, ours in TRANSPORT:
        if isinstance(error, theirs):
            return ours(detail=str(error))
    return None


def scrubbed(message: str) -> str:
    """Return a provider's message without keys and addresses, and not too long."""
    for key in _keys:
        message = message.replace(key, "***")
    message = _ADDRESSES.sub("", _SECRETS.sub("***", message))
    return " ".join(message.split())[:_LONGEST_MESSAGE]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after-ms` or `Retry-After` (seconds or a date; RFC 9110, 10.2.3) ask to wait."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    parsed = email.utils.parsedate_tz(headers.get("retry-after", ""))
    try:
        return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else None
    except (ValueError, OverflowError):  # a date that no calendar has
        return None

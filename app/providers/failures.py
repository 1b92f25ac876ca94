"""A provider's refusal in the domain's words: one table of HTTP statuses for all of them.

The statuses are those of both vendors (OpenAI's error codes page; case 35 for Anthropic). What a provider says of a
refused request is passed on, because the caller must mend it, but stripped of keys and addresses.
"""

import email.utils
import re
import time
from collections.abc import Mapping

import msgspec

from app.domain import errors, telling

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

SPENT = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}
"""Anthropic's 429 that no waiting mends: the budget is used up (34)."""

_TOO_LONG = re.compile(
    r"context.(length|window|size)|maximum context|prompt is too long|too many tokens", re.IGNORECASE
)
_SECRETS = re.compile(
    r"(?<![a-z0-9])(?:(?:sk|pk|gsk|csk|xai|key|hf|fw|pplx|nvapi)[-_]|AIza)[\w*.-]{4,}|\bBearer\s+\S+", re.IGNORECASE
)
_ADDRESSES = re.compile(r"\bhttps?://\S+", re.IGNORECASE)
_LONGEST_MESSAGE = 600

_keys: set[str] = set()


def keep_secret(key: str | None) -> None:
    """Let this key of ours stand in no message, whatever it looks like."""
    if key:
        _keys.add(key)


def from_answer(status: int, headers: Mapping[str, str], content: bytes) -> errors.ProviderError:
    """Return the error for an upstream answer that is none, in OpenAI's or Anthropic's shape, or in no known one.

    Both have an `error` object; some servers give a bare string instead, `detail` for `message`, or the HTTP status
    once more as `code`. `headers` are by their names in lower case.
    """
    if status < 300:
        return errors.ProviderBroken(
            detail=f"the status {status} is neither an answer nor an error", upstream_status=status
        )
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = content.decode("utf-8", "replace").strip()
    error = body.get("error", body) if isinstance(body, dict) else body
    fields = error if isinstance(error, dict) else {"message": error}
    details = fields.get("details")
    if isinstance(details, dict) and details.get("error_code") in SPENT:
        return errors.ProviderKeyRefused(detail=details["error_code"], upstream_status=status)
    code, param, kind = fields.get("code"), fields.get("param"), fields.get("type")
    return from_status(
        status,
        str(fields.get("message") or fields.get("detail") or f"status {status}"),
        code=code if isinstance(code, str) else None,
        param=param if isinstance(param, str) else None,
        kind=kind if isinstance(kind, str) else None,
        headers=headers,
    )


def from_status(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> errors.ProviderError:
    """Return the error for an upstream HTTP status; its words are the caller's to read, of 400s alone.

    The log gets its code, or its `kind` of an error where it has no codes.
    """
    ours = STATUSES.get(status, errors.ProviderError)
    if ours is errors.ProviderRequestRefused and (code == "context_length_exceeded" or _TOO_LONG.search(message)):
        ours, code = errors.ContextTooLong, "context_length_exceeded"
    told, code, param = scrubbed(message), code and scrubbed(code), param and scrubbed(param)
    callers_fault = ours.status in (400, 413)
    is_page = told.startswith("<")  # a proxy's HTML says nothing to a caller
    return ours(
        told if callers_fault and told and not is_page else None,
        param=param if callers_fault else None,
        code=code if ours is errors.ProviderRequestRefused else None,
        detail=telling.of(code or kind, param),  # its words may quote what a caller said
        retry_after_s=retry_after_s(headers or {}),
        upstream_status=status,
    )


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

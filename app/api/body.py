"""A request's body: read whole in one go, or not at all; and refused where its JSON would take too long to look at."""

import re
from typing import Any

from flask import Request
from gunicorn.http.body import LengthReader
from werkzeug.exceptions import ClientDisconnected

from app.domain.errors import RequestTooLarge

SMALL_BYTES = 64 * 1024
"""A body that is no longer cannot hold up the worker, whatever is in it."""

MOST_CONTAINERS = 10_000
"""Objects and lists in a longer one: a message costs up to 20 us on its way, and the longest calls have hundreds."""

MOST_VALUES = 100_000

LONGEST_LENGTH = 16
"""Digits of a length."""

STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


class RequestBody:
    """What a request under gunicorn brings beside its head. Unless it is read to its end, the connection closes."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._body = request.body
        self._closes_anyway = request.must_close
        reader = request.body.reader
        self._left: int | None = reader.length if isinstance(reader, LengthReader) else None
        self.is_unread = True
        request.body = self
        request.must_close = True

    @property
    def failed(self) -> bool:
        """Whether it broke off, in gunicorn's words."""
        return bool(self._body.failed)

    def read(self, size: int | None = None) -> bytes:
        """Return so many bytes, or fewer at the end; raises what the socket does, or gunicorn's ParseException."""
        if not self.is_unread:
            return b""  # gunicorn asks again before the next request
        data: bytes = self._body.read(size)
        if self._left is not None:
            self._left -= len(data)
        if self._left == 0 or (self._left is None and (size is None or len(data) < size)):
            self.is_unread = False
            self._request.must_close = self._closes_anyway
        return data


def has_body(request: Any) -> bool:
    """Whether a request under gunicorn has a body; one of no bytes is none."""
    reader = request.body.reader
    return not isinstance(reader, LengthReader) or reader.length > 0


def read_body(request: Request, most: int) -> bytes:
    """Return the body, which may have `most` bytes; raises RequestTooLarge, and ClientDisconnected where it is cut off.

    werkzeug reads it in pieces, for each of which gunicorn moves all that it has: 30 ms for 4 MB.
    """
    length = _length(request)
    if length is None and not request.environ.get("wsgi.input_terminated"):
        return b""
    if length is not None and length > most:
        raise RequestTooLarge("The request body is larger than this server takes.")
    try:
        body: bytes = request.environ["wsgi.input"].read(most + 1 if length is None else length)
    except OSError:
        raise ClientDisconnected from None
    if len(body) > most:
        raise RequestTooLarge("The request body is larger than this server takes.")
    if length is not None and len(body) < length:
        raise ClientDisconnected
    return body


def _length(request: Request) -> int | None:
    """Return the length that the head says; werkzeug, which knows the odd cases too, takes 19 calls for it."""
    given = request.environ.get("CONTENT_LENGTH", "")
    is_plain = given.isdecimal() and len(given) < LONGEST_LENGTH and "HTTP_TRANSFER_ENCODING" not in request.environ
    return int(given) if is_plain else request.content_length


def is_too_dense(body: bytes) -> bool:
    """Whether there is so much in this JSON that looking at it would hold up everybody else: 4 MB can take 10 s."""
    if len(body) <= SMALL_BYTES or not _has_more(body):
        return False
    bare, strings = STRING.subn(b"", body, MOST_VALUES)
    return strings == MOST_VALUES or _has_more(bare)


def _has_more(text: bytes) -> bool:
    return text.count(b"{") + text.count(b"[") > MOST_CONTAINERS or text.count(b",") > MOST_VALUES

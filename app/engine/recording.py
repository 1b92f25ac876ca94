"""Events as bytes, for what outlives a turn or leaves the process: the answer cache, and answers shared by workers.

Made from the events' own fields, so that it cannot fall behind them; and `FORMAT` changes when they do, so that nobody
reads what another version wrote.
"""

import hashlib
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec
from msgspec.structs import astuple

from app.domain.events import Event

MEANING = 1
"""To be counted up when the same fields come to mean something else."""

_ROWS: dict[type, Any] = {
    kind: msgspec.defstruct(kind.__name__, (), bases=(kind,), tag=True, array_like=True, frozen=True, gc=False)
    for kind in get_args(Event)
}
"""For each kind of event one that is written as a list: its name, then its fields. In memory events have no tag."""

_KINDS = {row: kind for kind, row in _ROWS.items()}


def _described(kind: type) -> tuple[str, list[tuple[str, str]]]:
    return kind.__name__, [(field.name, str(field.type)) for field in msgspec.structs.fields(kind)]


FORMAT = hashlib.blake2b(repr((MEANING, [_described(kind) for kind in _ROWS])).encode(), digest_size=4).hexdigest()
"""Names this way of writing: what another version wrote has another name."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(list[reduce(or_, _KINDS)])  # type: ignore[misc]


def to_bytes(events: Iterable[Event]) -> bytes:
    """Return the events as bytes."""
    return _encoder.encode([_ROWS[type(event)](*astuple(event)) for event in events])


def from_bytes(data: bytes) -> list[Event]:
    """Return the events; raises msgspec.MsgspecError where these are none."""
    return [_KINDS[type(row)](*astuple(row)) for row in _decoder.decode(data)]

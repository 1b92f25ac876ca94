"""Recordings: the bytes that a vendor sent, and the events that they come to.

A recording is `NAME.sse` beside `NAME.json`, the list of its events as `[type, fields]`; the last one may be
`["error", {"name": ...}]`, where the answer breaks off.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from app.domain import events
from app.domain.errors import ProviderError
from app.providers.sse import Decoder
from app.providers.streaming import Reader


def recordings(test_file: str) -> list[Any]:
    """Every recording beside a test file."""
    return sorted((Path(test_file).parent / "recordings").glob("*.sse"))


def expected(recording: Path) -> list[Any]:
    """The events that a recording comes to."""
    read: list[Any] = json.loads(recording.with_suffix(".json").read_text())
    return read


def decoded(recording: Path, make_reader: Callable[[], Reader], size: int) -> list[Any]:
    """Decode a recording, in packets of this size, as the provider does."""
    data = recording.read_bytes()
    read: list[Any] = []
    reader, decoder = make_reader(), Decoder()
    try:
        for at in range(0, len(data), size):
            for payload in decoder.feed(data[at : at + size]):
                read += map(_plain, reader.read(payload))
        if not reader.done:
            for payload in decoder.flush():
                read += map(_plain, reader.read(payload))
        read += map(_plain, reader.finish())
    except ProviderError as error:
        read.append(["error", {"name": error.name}])
    return read


def _plain(event: events.Event) -> Any:
    fields = msgspec.structs.asdict(event)
    defaults = {field.name: field.default for field in msgspec.structs.fields(event)}
    return [type(event).__name__, {name: value for name, value in fields.items() if value != defaults[name]}]

"""A TurnRecord as a row of the table, and a row as the JSON of GET /v1/turns, whose fields are those of the log."""

import secrets
import uuid
from typing import Any

from sqlalchemy import RowMapping

from app.domain.events import Usage
from app.domain.request import JSON
from app.domain.turn import TurnRecord
from app.stores.records.table import TURNS

LONGEST_TEXT = 500
"""Characters. What a caller names, such as a conversation, has no bound of its own; an index entry has 2700 bytes."""

OF_USAGE = Usage.__struct_fields__
"""The fields of a record's `usage`, which are columns of their own."""

OF_RECORD = tuple(name for name in TURNS.columns.keys() if name != "id" and name not in OF_USAGE)  # noqa: SIM118

_NO_USAGE: dict[str, Any] = dict.fromkeys(OF_USAGE)


def row_of(record: TurnRecord) -> dict[str, Any]:
    """Return a turn's row, with an id that it keeps, however often it is tried to be written."""
    row = {name: getattr(record, name) for name in OF_RECORD}
    for name, value in row.items():
        if type(value) is str:
            row[name] = stored(value)
    usage = record.usage
    row.update(_NO_USAGE if usage is None else {name: getattr(usage, name) for name in OF_USAGE})
    row["id"] = id_of(record.began_at)
    return row


def stored(text: str) -> str:
    """Return a text as the table holds it: not longer than an index takes, and without NUL, which Postgres refuses."""
    return text[:LONGEST_TEXT].replace("\0", "")


def id_of(unix_s: float) -> str:
    """Return a new UUID of version 7 for this time."""
    version_and_noise = 7 << 12 | secrets.randbits(12)
    variant_and_noise = 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=_milliseconds(unix_s) << 80 | version_and_noise << 64 | variant_and_noise))


def first_id_of(unix_s: float) -> str:
    """Return the smallest id that a turn of this millisecond, or of a later one, can have."""
    return str(uuid.UUID(int=_milliseconds(unix_s) << 80))


def json_of(row: RowMapping) -> JSON:
    """Return a row as JSON: the record's fields as its log line names them, with its id."""
    fields: JSON = {"id": row["id"], "object": "turn"} | {name: row[name] for name in OF_RECORD}
    usage = {name: row[name] for name in OF_USAGE}
    fields["usage"] = None if row["prompt_tokens"] is None else usage
    return fields


def _milliseconds(unix_s: float) -> int:
    return min(max(0, int(unix_s * 1000)), (1 << 48) - 1)

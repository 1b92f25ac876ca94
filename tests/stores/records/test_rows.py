"""A turn's record as a row, and back."""

import uuid

import msgspec
from hypothesis import given
from hypothesis import strategies as some
from stores.records.conftest import turn

from app.domain.events import Usage
from app.domain.turn import TurnRecord
from app.stores.records.rows import first_id_of, id_of, row_of, stored
from app.stores.records.table import TURNS


def test_every_field_of_the_record_has_a_column() -> None:
    """Whatever the log line tells, the table has; the tokens are columns of their own, to be summed."""
    fields = set(TurnRecord.__struct_fields__) - {"usage"}
    assert set(TURNS.columns.keys()) == fields | set(Usage.__struct_fields__) | {"id"}


def test_a_row_is_the_record() -> None:
    """A row holds what the record does, and JSON can be made of it."""
    record = turn()
    row = row_of(record)
    assert set(row) == set(TURNS.columns.keys())
    assert {name: row[name] for name in ("request_id", "end", "key")} == {
        "request_id": "req_1",
        "end": "completed",
        "key": "agent",
    }
    assert (row["prompt_tokens"], row["cached_tokens"], row["estimated"]) == (20, 10, False)
    assert row_of(turn(usage=None))["prompt_tokens"] is None
    assert msgspec.json.decode(msgspec.json.encode(row))["attempts"][0]["target"] == "openai/gpt-4.1"


def test_what_a_caller_names_has_a_bound() -> None:
    """A conversation's name as long as a request body fits into an index, and is found again by the same cut."""
    name = "x\0" * 100_000
    assert row_of(turn(conversation_id=name))["conversation_id"] == stored(name)
    assert len(stored("🎉" * 100_000).encode()) < 2700


@given(some.lists(some.floats(0, 4e9), min_size=2, max_size=9))
def test_ids_are_in_the_order_of_time(times: list[float]) -> None:
    """The primary key sorts by when a turn began, to the millisecond, and no two are the same."""
    by_time = sorted(times, key=lambda time: int(time * 1000))
    ids = [id_of(time) for time in by_time]
    assert len(set(ids)) == len(ids)
    stamps = [one[:13] for one in ids]
    assert stamps == sorted(stamps)
    assert all(uuid.UUID(one).version == 7 and uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)
    assert all(first_id_of(time) < one < first_id_of(time + 0.002) for time, one in zip(by_time, ids, strict=True))

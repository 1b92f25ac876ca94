"""What can be asked of the record."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from stores.records.conftest import Told, turn

from app.domain.ports import TurnPage, TurnQuery
from app.domain.turn import TurnRecord
from app.stores.records.database import Database, database_of
from app.stores.records.query import page_of
from app.stores.records.rows import OF_RECORD
from app.stores.records.schema import migrated
from app.stores.records.table import TURNS
from app.stores.records.writer import Writer

START = 1_800_000_000.0


@pytest.fixture
def recorded(database: Database) -> Iterator[Database]:
    """Nine turns, one a second: three conversations in turn, and every fourth ended badly."""
    writer = Writer(database, 1000, Told())
    for number in range(9):
        end = "provider_error" if number % 4 == 3 else "completed"
        writer.turn_ended(turn(f"req_{number}", START + number, conversation_id=f"conv_{number % 3}", end=end))
    writer.stop(5)
    return database


def find(database: Database, **query: Any) -> TurnPage:
    """Ask."""
    return database.run(partial(page_of, TurnQuery(**query)))


def numbers(page: TurnPage) -> list[int]:
    """Return which turns were found."""
    return [int(one["request_id"].removeprefix("req_")) for one in page.turns]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"conversation": "conv_1"}, [7, 4, 1]),
        ({"conversation": "conv_9"}, []),
        ({"conversation": "conv_1' OR '1'='1"}, []),
        ({"request_id": "req_5"}, [5]),
        ({"end": "provider_error"}, [7, 3]),
        ({"since": START + 6}, [8, 7, 6]),
        ({"since": START + 6.0004}, [8, 7]),
        ({"until": START + 2}, [1, 0]),
        ({"until": START + 2.0004}, [2, 1, 0]),
        ({"since": START + 2, "until": START + 7, "conversation": "conv_0"}, [6, 3]),
        ({"since": START + 7, "until": START + 2}, []),
    ],
    ids=str,
)
def test_filters(recorded: Database, query: dict[str, Any], found: list[int]) -> None:
    """Each filter narrows what is found, times to their full precision; the newest turns come first."""
    page = find(recorded, **query)
    assert numbers(page) == found
    assert not page.has_more


def test_pages(recorded: Database) -> None:
    """Page by page every turn is found once, also where the one that a page ended with has been deleted since."""
    found: list[int] = []
    page, after = TurnPage([], True), None
    while page.has_more:
        page = find(recorded, limit=4, after=after)
        found += numbers(page)
        after = page.turns[-1]["id"]
        recorded.run(lambda connection: connection.execute(delete(TURNS).where(TURNS.c.request_id == "req_5")))
    assert found == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_turn_as_it_was_recorded(database: Database) -> None:
    """What is read is what was recorded, in the names of the log line, with an id; no usage is null, and not zeros."""
    records = [turn("req_1"), turn("req_0", usage=None, conversation_id=None, attempts=[], first_speakable_ms=None)]
    writer = Writer(database, 1000, Told())
    for record in records:
        writer.turn_ended(record)
    writer.stop(5)
    for record in records:
        (told,) = find(database, request_id=record.request_id).turns
        assert told.pop("object") == "turn"
        assert len(told.pop("id")) == 36
        expected = {name: getattr(record, name) for name in OF_RECORD if name != "attempts"}
        assert {name: told[name] for name in expected} == expected
        assert told["usage"] == (None if record.usage is None else USAGE)
        assert told["attempts"] == ATTEMPTS[: len(record.attempts)]
        assert set(told) == set(TurnRecord.__struct_fields__)


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 5,
    "cached_tokens": 10,
    "cache_write_tokens": 0,
    "reasoning_tokens": 0,
    "estimated": False,
}
ATTEMPTS = [{"target": "openai/gpt-4.1", "began_ms": 0.4, "duration_ms": 812.5, "outcome": "answered"}]


def test_a_conversation_is_found_by_an_index(tmp_path: Path) -> None:
    """However many turns there are, those of a conversation are found in their order."""
    migrated(None, tmp_path / "turns.db")
    database = database_of(None, tmp_path / "turns.db")
    asked = "SELECT * FROM glottis_turns WHERE conversation_id = 'c' ORDER BY id DESC LIMIT 20"
    told = str(database.run(lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}").all()))
    assert "USING INDEX glottis_turns_conversation" in told
    assert "TEMP B-TREE" not in told
    database.engine.dispose()

"""Both kinds of database, migrated and empty, and turns to put on record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres import Postgres
from sqlalchemy import select

from app.domain.events import Usage
from app.domain.turn import Attempt, TurnRecord
from app.stores.records.database import Database, database_of
from app.stores.records.schema import migrated
from app.stores.records.table import TURNS


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> tuple[str | None, Path]:
    """A new database: the address of Postgres', or none, and the path of SQLite's."""
    return postgres.database() if request.param == "postgres" else None, tmp_path / "turns.db"


@pytest.fixture
def database(address: tuple[str | None, Path]) -> Iterator[Database]:
    """It is migrated."""
    migrated(*address)
    opened = database_of(*address)
    yield opened
    opened.engine.dispose()


class Told:
    """A log that keeps what it is told, as pairs of an event and its fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, level: int, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def turn(request_id: str = "req_1", began_at: float = 1_800_000_000.0, **fields: Any) -> TurnRecord:
    """Return the record of a turn that went well."""
    usage = Usage(prompt_tokens=20, completion_tokens=5, cached_tokens=10)
    return TurnRecord(
        **{
            "request_id": request_id,
            "conversation_id": "conv_1",
            "model": "receptionist",
            "stream": True,
            "end": "completed",
            "status": 200,
            "target": "openai/gpt-4.1",
            "attempts": [Attempt(target="openai/gpt-4.1", began_ms=0.4, duration_ms=812.5, outcome="answered")],
            "error": None,
            "first_speakable_ms": 312.4,
            "total_ms": 812.9,
            "text_chars": 42,
            "tool_calls": 0,
            "finish_reason": "stop",
            "usage": usage,
            "began_at": began_at,
            "key": "agent",
            "route": "receptionist",
            "cost_usd": 0.00012,
            **fields,
        }
    )


def written(database: Database) -> list[str]:
    """Return the request ids on record, in the order of time."""
    wanted = select(TURNS.c.request_id).order_by(TURNS.c.id)
    return database.transact(lambda connection: list(connection.scalars(wanted)))

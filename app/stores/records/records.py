"""The record of turns as the application has it: it hears of turns, it is read, and it lives as long as its worker."""

from functools import partial
from pathlib import Path

from app.domain.errors import InvalidKey, RecordsUnavailable
from app.domain.ports import Log, TurnPage, TurnQuery
from app.domain.turn import TurnRecord
from app.stores.records.database import Database, Unavailable, database_of
from app.stores.records.query import page_of
from app.stores.records.retention import Retention
from app.stores.records.schema import prepare_file
from app.stores.records.writer import Writer

READ_S = 3.0
"""How long an answer may take."""

STOP_S = 1.0


def open_records(url: str | None, path: Path, *, queue: int, kept_days: int, log: Log) -> "Records":
    """Return the record of turns in Postgres at `url`, or without one in the SQLite file at `path`, which is made.

    Raises SchemaError where that file cannot be used. Postgres is not asked: a server starts without it.
    """
    database = database_of(url, path)
    if not database.is_postgres:
        prepare_file(database, path)
    return Records(database, queue=queue, kept_days=kept_days, log=log)


class Records:
    """An Observer, a TurnArchive and a Resident (domain.ports)."""

    def __init__(self, database: Database, *, queue: int, kept_days: int, log: Log) -> None:
        self._database = database
        self._writer = Writer(database, queue, log)
        self._retention = Retention(database, kept_days, log) if kept_days else None

    def turn_ended(self, record: TurnRecord) -> None:
        """Take note of a turn; see domain.ports.Observer. Who has no key writes nothing into the database."""
        if record.status != InvalidKey.status:
            self._writer.turn_ended(record)

    def find(self, query: TurnQuery) -> TurnPage:
        """Return the turns that a query asks for; raises RecordsUnavailable."""
        try:
            return self._database.run(partial(page_of, query), READ_S)
        except Unavailable as error:
            raise RecordsUnavailable(detail=str(error)) from None

    def start(self) -> None:
        """Begin what the worker does beside the turns."""
        if self._retention is not None:
            self._retention.start()

    def stop(self) -> None:
        """Write what waits, within STOP_S."""
        if self._retention is not None:
            self._retention.stop()
        self._writer.stop(STOP_S)

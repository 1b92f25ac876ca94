"""Rows are written behind the callers' backs: a turn's end puts its record into a queue, and a greenlet empties it.

A database that is down delays rows: they wait in the queue, up to its bound, and are tried again until they are
written, none twice, because each keeps its id. Beyond the bound the oldest go, and that is counted and told.
"""

import logging
import random
from collections import deque
from functools import partial
from typing import Any

import gevent
from sqlalchemy import JSON, Connection, bindparam, column, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from app.domain.ports import Log
from app.domain.turn import TurnRecord
from app.stores.records.database import Database, Unavailable
from app.stores.records.rows import row_of
from app.stores.records.table import TURNS

BATCH = 50
"""Rows of one transaction: they hold up the loop for 1.5 ms with Postgres, and for 3 ms with SQLite, whose thread needs
Python's lock as well (on a slow machine)."""

FLUSH_S = 1.0
"""How long a record waits for others."""

LONGEST_PAUSE_S = 5.0
"""Between two tries, while the database is down."""

_NAMES = TURNS.columns.keys()
_GIVEN = func.json_populate_recordset(text(f"NULL::{TURNS.name}"), bindparam("rows", type_=JSON)).table_valued(
    *(column(name) for name in _NAMES)
)
_TO_POSTGRES = (
    postgresql.insert(TURNS).from_select(_NAMES, select(*(_GIVEN.c[name] for name in _NAMES))).on_conflict_do_nothing()
)
"""One JSON text for all rows: a third of the CPU that a parameter for each of their columns takes."""

_TO_SQLITE = sqlite.insert(TURNS).on_conflict_do_nothing()


class Writer:
    """The observer that puts turns on record."""

    def __init__(self, database: Database, bound: int, log: Log) -> None:
        self._database = database
        self._bound = bound
        self._log = log
        self._queue: deque[TurnRecord] = deque()
        self._batch: list[dict[str, Any]] = []
        """Taken from the queue: perhaps written already, and tried until that is known."""
        self._step = BATCH
        self._greenlet: Any = None
        self._pause_s = FLUSH_S
        self._told: set[str] = set()
        """What the log was told of an outage; empty while there is none."""
        self._lost = 0

    @property
    def waiting(self) -> int:
        """How many rows are not known to be written."""
        return len(self._queue) + len(self._batch)

    def turn_ended(self, record: TurnRecord) -> None:
        """Take note of a turn, in a microsecond; see domain.ports.Observer."""
        if self.waiting >= self._bound:
            self._queue.popleft()
            self._lose(1, "the queue is full")
        self._queue.append(record)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self, within_s: float) -> None:
        """Write what waits, as far as that goes in this time, and tell what is lost."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
        with gevent.Timeout(within_s, False):
            self._flush()
        if self.waiting:
            self._lose(self.waiting, "the server has stopped")

    def _run(self) -> None:
        """Write, as long as there is something to be written."""
        try:
            while self.waiting:
                gevent.sleep(self._pause_s)
                self._flush()
        finally:
            self._greenlet = None

    def _flush(self) -> None:
        try:
            while self.waiting:
                if not self._batch:
                    self._take()
                self._write_some()
        except Unavailable as error:
            self._tell(logging.WARNING, "records_wait", str(error), waiting=self.waiting)
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s) * random.uniform(0.7, 1.0)  # noqa: S311
        else:
            self._recover()

    def _take(self) -> None:
        records = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        self._batch, self._step = [row_of(record) for record in records], BATCH

    def _write_some(self) -> None:
        """Write the batch; raises Unavailable. Rows that are refused for what they hold are lost, and no others."""
        rows = self._batch[: self._step]
        try:
            self._database.run(partial(self._insert, rows))
        except Unavailable:
            raise
        except Exception as error:
            if len(rows) > 1:
                self._step = 1
                return
            self._lose(1, f"refused: {type(error).__name__}")
        del self._batch[: len(rows)]

    def _insert(self, rows: list[dict[str, Any]], connection: Connection) -> None:
        if self._database.is_postgres:
            connection.execute(_TO_POSTGRES, {"rows": rows})
        else:
            connection.execute(_TO_SQLITE, rows)

    def _lose(self, count: int, reason: str) -> None:
        self._lost += count
        self._tell(logging.ERROR, "records_lost", reason, lost=self._lost)

    def _tell(self, level: int, event: str, reason: str, **fields: Any) -> None:
        """Tell the log, once in an outage."""
        if reason not in self._told:
            self._told.add(reason)
            self._log(level, event, reason=reason, **fields)

    def _recover(self) -> None:
        """Take note that all is written."""
        self._pause_s = FLUSH_S
        if self._told:
            self._log(logging.INFO, "records_written", lost=self._lost)
            self._told.clear()
            self._lost = 0

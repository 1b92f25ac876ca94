"""Rows that are older than they are kept for go: once an hour, a few at a time, by one worker at a time."""

import logging
from datetime import timedelta
from functools import partial
from time import time
from typing import Any

import gevent
from sqlalchemy import Connection, Integer, bindparam, delete, func, select

from app.domain.ports import Log
from app.stores.records.database import Database, Unavailable
from app.stores.records.rows import first_id_of
from app.stores.records.table import TURNS

EVERY_S = 3600.0
STEP = 500
"""Rows of one transaction."""

PAUSE_S = 0.1
"""Between two steps, for those who write."""

LOCK = 0x676C6F7474697302
"""Postgres' advisory lock: whoever does not get it leaves the work to whom it was given."""

_STEP = bindparam("step", type_=Integer)
_OLDEST = select(TURNS.c.id).where(TURNS.c.id < bindparam("end")).order_by(TURNS.c.id).limit(_STEP)
_DELETE = delete(TURNS).where(TURNS.c.id.in_(_OLDEST.scalar_subquery()))


class Retention:
    """Deletes what is too old, hour by hour."""

    def __init__(self, database: Database, kept_days: int, log: Log, step: int = STEP) -> None:
        self._database = database
        self._kept_s = timedelta(days=kept_days).total_seconds()
        self._log = log
        self._step = step
        self._greenlet: Any = None

    def start(self) -> None:
        """Begin, in the process that is to do it."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """End at once."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def purge(self) -> int:
        """Delete what is too old, and return how many rows that were; raises Unavailable."""
        deleted, last = 0, self._step
        end = first_id_of(time() - self._kept_s)
        while last == self._step:
            last = self._database.run(partial(self._delete, end))
            deleted += last
            gevent.sleep(PAUSE_S)
        return deleted

    def _run(self) -> None:
        while True:
            try:
                deleted = self.purge()
            except Unavailable as error:
                self._log(logging.WARNING, "records_not_purged", reason=str(error))
            else:
                if deleted:
                    self._log(logging.INFO, "records_purged", rows=deleted)
            gevent.sleep(EVERY_S)

    def _delete(self, end: str, connection: Connection) -> int:
        if self._database.is_postgres and not connection.scalar(select(func.pg_try_advisory_xact_lock(LOCK))):
            return 0
        return connection.execute(_DELETE, {"end": end, "step": self._step}).rowcount

"""Where the rows are: Postgres, or a file of SQLite's. Neither may hold up the worker, whose loop speaks to callers.

psycopg waits as gevent does, and a timeout ends what hangs. SQLite cannot wait: it writes in one native thread of its
own. The engine is made before gunicorn forks and connects after it.
"""

import sqlite3
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import gevent
import msgspec
from gevent.threadpool import ThreadPool
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

T = TypeVar("T")

CONNECT_S = 5
"""How long connecting to Postgres may take, unless DATABASE_URL says otherwise by connect_timeout."""

BUSY_S = 2
"""How long SQLite waits for another process that writes."""

WITHIN_S = 5.0
"""How long a transaction may take."""

REFUSED = (exc.DataError, exc.IntegrityError)
"""What Postgres or SQLite will say of the same rows again; every other error may pass."""

UNKNOWN_TABLE = {"42P01", "42703", "3F000"}
"""Postgres' codes for a table, column or schema that is not there."""


class Unavailable(Exception):
    """The database cannot be used now; the message says why, with neither a row nor a key in it."""


class Database:
    """Runs transactions, one engine for each process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_postgres = engine.dialect.name == "postgresql"

    def run(self, work: Callable[[Connection], T], within_s: float = WITHIN_S) -> T:
        """Return what `work` returns, in a transaction of its own; the other greenlets of the worker go on meanwhile.

        Raises Unavailable where it may well go better another time; the transaction may yet have been committed.
        """
        limit = gevent.Timeout(within_s)
        try:
            with limit:
                if self.is_postgres:
                    return self._transact_anew(work)
                return self._thread.apply(self.transact, (work,))  # type: ignore[no-any-return]
        except gevent.Timeout as timeout:
            if timeout is not limit:
                raise
            raise Unavailable("no answer in time") from None
        except REFUSED:
            raise
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise Unavailable(said(error)) from None

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, in a transaction of its own; blocks, where nothing is patched."""
        with self.engine.begin() as connection:
            return work(connection)

    def _transact_anew(self, work: Callable[[Connection], T]) -> T:
        """Transact; again, if the connection that was there has been cut since it was last used."""
        try:
            return self.transact(work)
        except exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self.transact(work)

    @cached_property
    def _thread(self) -> Any:
        return ThreadPool(1)  # not before the fork: it belongs to the hub of its process


def database_of(url: str | None, path: Path, *, busy_s: float = BUSY_S) -> Database:
    """Return the Postgres database at `url`, or without one the SQLite file at `path`. Nothing is opened yet.

    `busy_s` is how long SQLite waits for another process that writes.
    """
    return Database(_sqlite(path, busy_s) if url is None else _postgres(url))


def said(error: BaseException) -> str:
    """Return what the log may tell of an error: no statement, no row, no key."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None)
    if state in UNKNOWN_TABLE or "no such table" in str(original):
        return "the database is not migrated: run python -m app.cli.migrate"
    if state is not None:  # the server's own words may hold a row
        return f"{type(original).__name__} {state}"
    return f"{type(original).__name__}: {str(original).partition(chr(10))[0]}"


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _postgres(text: str) -> Engine:
    url = make_url(text).set(drivername="postgresql+psycopg")
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_S, "application_name": "glottis", "gssencmode": "disable"}
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    return create_engine(
        url,
        # Prepared statements do not survive a pooler that gives each transaction another connection.
        connect_args=arguments | {"prepare_threshold": None},
        use_native_hstore=False,
        pool_size=1,  # the writer's; small databases have 20 connections for all servers
        max_overflow=2,
        pool_timeout=CONNECT_S,
        json_serializer=_encoded,
        json_deserializer=msgspec.json.decode,
    )


def _sqlite(path: Path, busy_s: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy_s},
        pool_size=1,
        json_serializer=_encoded,
        json_deserializer=msgspec.json.decode,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: Any) -> None:
    # Python's own way of beginning transactions leaves the making of tables out of them.
    connection.isolation_level = None
    # Readers do not wait for a writer, and a commit does not wait for the disk.
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")


def _write_ahead(connection: Any) -> None:
    """Change a new file's journal. SQLite does not wait for the lock that this takes: it is tried for BUSY_S."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    # One that reads before it writes would fail, instead of waiting, where another process has written meanwhile.
    connection.exec_driver_sql("BEGIN IMMEDIATE")

"""The schema of the database, as far as a server or a command asks for it; the migrations are in app/stores/migrations.

A SQLite file is made and migrated at boot. Postgres is migrated before the servers start: python -m app.cli.migrate.
"""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, column, exc, inspect, select, table

from app.stores.records.database import Database, database_of, said
from app.stores.records.table import HEAD, VERSION_TABLE


class Move(NamedTuple):
    """From one revision to another; None is an empty database."""

    before: str | None
    after: str | None


class SchemaError(Exception):
    """The database cannot be migrated; the message says why."""


def migrated(url: str | None, path: Path, revision: str | None = None) -> Move:
    """Bring a database to a revision, as app/stores/migrations does; raises SchemaError."""
    from app.stores import migrations  # with Alembic, which no server needs that finds all as it is to be

    def move(connection: Connection) -> Move:
        migrations.alone(connection)
        before = revision_of(connection)
        migrations.migrate(connection, before, revision)
        return Move(before, revision_of(connection))

    database = database_of(url, path, busy_s=migrations.LOCK_S)
    try:
        return database.transact(move)
    except exc.DBAPIError as error:
        raise SchemaError(said(error)) from None
    except migrations.CommandError as error:
        raise SchemaError(str(error)) from None
    finally:
        database.engine.dispose()


def prepare_file(database: Database, path: Path) -> None:
    """Make a SQLite file, or migrate it, where that is needed; raises SchemaError. Leaves no connection open."""
    try:
        revision = database.transact(revision_of)
    except exc.DBAPIError as error:
        raise SchemaError(said(error)) from None
    finally:
        database.engine.dispose()
    if (revision or "") < HEAD:
        migrated(None, path)


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the schema that is there; None where there is none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))

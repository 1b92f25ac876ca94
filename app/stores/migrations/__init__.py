"""The migrations of the record of turns, run by Alembic.

Several servers run while one migrates, older ones too: they write into a newer schema, so a migration may add what can
be left out, and must not rename or remove what the release before it writes. A migration is a file in `versions/`,
named for what it does and numbered: its revision is one more than table.HEAD, which becomes it.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, func, select, text

from app.stores.records.table import HEAD

__all__ = ["CommandError", "alone", "migrate"]

LOCK = 0x676C6F7474697301
"""Postgres' advisory lock: of two who migrate at once the second waits, and then finds nothing to do."""

LOCK_S = 60


def alone(connection: Connection) -> None:
    """Wait until nobody else migrates, until the end of the transaction; a SQLite file is ours from its beginning."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S}s'"))
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def migrate(connection: Connection, before: str | None, revision: str | None) -> None:
    """Bring the schema from one revision to another, in the connection's transaction; raises CommandError.

    None is the newest. A schema that is newer than this release knows is then left as it is. `base` is none at all.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if revision == "base" or (revision is not None and (before or "") > revision):
        command.downgrade(config, revision)
    elif (before or "") < (revision or HEAD):
        command.upgrade(config, revision or HEAD)

"""The database's schema: made, changed and taken away by Alembic, on both kinds of database."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from gateway import ROOT, clean_environment
from postgres import Postgres
from sqlalchemy import inspect, text

from app.stores import migrations
from app.stores.records.database import Database, database_of
from app.stores.records.schema import SchemaError, migrated, prepare_file, revision_of
from app.stores.records.table import HEAD, METADATA, VERSION_TABLE

Address = tuple[str | None, Path]


def test_the_migrations_make_the_table(database: Database) -> None:
    """A migrated database has the tables, columns and indexes that the code knows, and no others."""
    differences = database.transact(
        lambda connection: compare_metadata(
            MigrationContext.configure(
                connection,
                opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True},
            ),
            METADATA,
        )
    )
    assert differences == []


def test_up_and_down(address: Address) -> None:
    """What an upgrade makes, a downgrade takes away; to go where one is does nothing."""
    assert migrated(*address) == (None, HEAD)
    assert migrated(*address) == (HEAD, HEAD)
    assert migrated(*address, "base") == (HEAD, None)
    database = database_of(*address)
    assert database.transact(lambda connection: inspect(connection).get_table_names()) == [VERSION_TABLE]
    assert migrated(*address) == (None, HEAD)
    database.engine.dispose()


def test_the_newest_revision() -> None:
    """The code's newest revision is the last of the migrations, and all are numbered in their order."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


def test_two_at_once(address: Address) -> None:
    """Of several servers that migrate at once one does, and the others find it done."""
    with ThreadPoolExecutor(4) as pool:
        moves = list(pool.map(lambda _: migrated(*address), range(4)))
    assert sorted(moves, key=str) == [(HEAD, HEAD)] * 3 + [(None, HEAD)]


def test_a_newer_schema_is_left_as_it_is(database: Database, address: Address) -> None:
    """A release that is rolled back runs on the newer schema, and does not fail for it."""
    database.transact(lambda connection: connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")))
    assert migrated(*address) == ("9999", "9999")
    if not database.is_postgres:
        prepare_file(database, address[1])


def test_a_file_is_made_once(tmp_path: Path) -> None:
    """A SQLite file is made where there is none; one that is there is opened without Alembic."""
    path = tmp_path / "50% of turns.db"
    prepare_file(database_of(None, path), path)
    assert database_of(None, path).transact(revision_of) == HEAD
    code = (
        "import sys, pathlib; from app.stores.records.records import open_records; "
        f"open_records(None, pathlib.Path({str(path)!r}), queue=200, kept_days=1, log=print); "
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_a_file_that_cannot_be_is_told(tmp_path: Path) -> None:
    """Where the file's folder is not there, the reason is given."""
    path = tmp_path / "nowhere" / "turns.db"
    with pytest.raises(SchemaError, match="unable to open database file"):
        prepare_file(database_of(None, path), path)


def migrate(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the release phase in this environment and no other."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli.migrate", *arguments],
        cwd=ROOT,
        env=clean_environment() | {"GLOTTIS_DOTENV": os.devnull} | env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command(postgres: Postgres) -> None:
    """The release phase migrates the database that is configured, and needs no other setting."""
    url = postgres.database()
    done = migrate(DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (0, f"The record of turns was at revision None and is at {HEAD}.\n")
    done = migrate(DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (0, f"The record of turns is at revision {HEAD}: nothing to migrate.\n")
    assert migrate("base", DATABASE_URL=url).returncode == 0
    assert "Can't locate revision" in migrate("0815", DATABASE_URL=url).stderr


OFF = [{}, {"DATABASE_URL": ""}, {"DATABASE_URL": "mysql://x", "RECORD_TURNS": "false"}]


@pytest.mark.parametrize("env", OFF, ids=str)
def test_the_command_without_a_database(env: dict[str, str]) -> None:
    """Where nothing is recorded the release phase succeeds, and says so."""
    done = migrate(**env)
    assert done.returncode == 0
    assert "nothing to migrate" in done.stdout


@pytest.mark.parametrize(
    ("url", "words"),
    [("u:hidden@127.0.0.1:1", "Connection refused"), ("u:hid#den@127.0.0.1:1", "DATABASE_URL")],
    ids=["refused", "no-url"],
)
def test_the_command_says_what_is_wrong(url: str, words: str) -> None:
    """A database that cannot be reached fails the release, with the reason, and without the password."""
    done = migrate(DATABASE_URL=f"postgres://{url}/db")
    assert done.returncode == 1
    assert words in done.stderr
    assert "hid" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr

"""The record as the application has it."""

import subprocess
import sys
from pathlib import Path

import pytest
from gateway import KEY, ROOT, clean_environment

BOOT = clean_environment() | {"API_KEYS": f"tester:{KEY}", "OPENAI_API_KEY": "sk-not-used"}
HEAVY = "{'sqlalchemy', 'alembic', 'psycopg'} & set(sys.modules)"


@pytest.mark.parametrize(
    ("env", "loaded"), [({}, set()), ({"DATABASE_URL": "postgres://127.0.0.1:1/x"}, {"sqlalchemy", "psycopg"})]
)
def test_its_libraries_are_for_those_who_record(env: dict[str, str], loaded: set[str]) -> None:
    """A server that records nothing does not load SQLAlchemy, and one whose Postgres is away starts all the same."""
    code = f"import sys, wsgi; assert {HEAVY} == {loaded or 'set()'}, {HEAVY}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=BOOT | env, check=True, timeout=60)


def test_a_file_that_cannot_be_made_stops_the_boot(tmp_path: Path) -> None:
    """Where the file cannot be made the server does not start, and says which setting is wrong."""
    env = BOOT | {"RECORD_TURNS": "true", "RECORDS_PATH": str(tmp_path / "nowhere" / "turns.db")}
    done = subprocess.run(
        [sys.executable, "-c", "import wsgi"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "RECORDS_PATH: " in done.stderr
    assert "unable to open database file" in done.stderr
    assert "Traceback" not in done.stderr

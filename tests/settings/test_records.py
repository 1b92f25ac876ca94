"""Whether turns are recorded, where, and who may read them, as the environment says it."""

from pathlib import Path

import msgspec
import pytest
from test_settings import _own_environment, load, reasons

from app.settings.records import RecordsSettings

__all__ = ["_own_environment"]

POSTGRES = "postgres://user:hidden-word@db.example.com:5432/turns"


def test_turns_are_not_recorded_unless_asked_for() -> None:
    """The record is off, and nobody can read it; switched on, it is a file, kept for 30 days."""
    off = RecordsSettings(on=False, database_url=None, path=Path("glottis.db"), keys=(), queue=10_000, kept_days=30)
    assert load().records == off
    assert load(RECORD_TURNS="true", RECORDS_PATH="/var/turns.db", RECORDS_KEY=" a ,b,") == msgspec.structs.replace(
        load(), records=msgspec.structs.replace(off, on=True, path=Path("/var/turns.db"), keys=("a", "b"))
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_switches_the_record_on(scheme: str) -> None:
    """Where a host provides a Postgres turns go on record there, unless that is switched off."""
    url = POSTGRES.replace("postgres", scheme, 1)
    records = load(DATABASE_URL=url).records
    assert (records.on, records.database_url) == (True, url)
    assert not load(DATABASE_URL=url, RECORD_TURNS="false").records.on
    assert not load(DATABASE_URL="mysql://elsewhere", RECORD_TURNS="false").records.on


@pytest.mark.parametrize(
    "url", ["mysql://u:hidden-word@db/x", "hidden-word", "postgres:hidden-word", "postgres://u:hidden#word@db/x"]
)
def test_what_is_no_postgres_is_told_without_its_password(url: str) -> None:
    """A DATABASE_URL that cannot be used stops the boot, and no part of it is printed."""
    (reason,) = reasons(DATABASE_URL=url)
    assert reason.startswith("DATABASE_URL: Expected postgres://")
    assert "hidden" not in reason


@pytest.mark.parametrize(
    ("name", "text"),
    [("RECORD_TURNS", "perhaps"), ("RECORDS_QUEUE", "100"), ("RECORDS_KEPT_DAYS", "-1"), ("RECORDS_KEPT_DAYS", "long")],
)
def test_a_bad_setting_of_the_record(name: str, text: str) -> None:
    """A bad value is reported with its variable's name."""
    (reason,) = reasons(**{name: text})
    assert reason.startswith(f"{name}: ")


def test_callers_keys_do_not_open_the_record() -> None:
    """A key that callers have cannot be RECORDS_KEY as well."""
    (reason,) = reasons(RECORDS_KEY="other,key-0123456789")
    assert reason.startswith("RECORDS_KEY: is one of API_KEYS")
    assert "0123456789" not in reason

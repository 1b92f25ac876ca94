"""Old rows go, and only they."""

import time

import gevent
from sqlalchemy import func, select
from stores.records.conftest import Told, turn, written

from app.stores.records.database import Database
from app.stores.records.retention import LOCK, Retention
from app.stores.records.writer import Writer

DAY_S = 86_400


def record(database: Database, *ages_s: float) -> None:
    """Put turns of these ages on record."""
    writer = Writer(database, 1000, Told())
    for number, age_s in enumerate(ages_s):
        writer.turn_ended(turn(f"req_{number}", time.time() - age_s))
    writer.stop(5)


def test_what_is_too_old_goes(database: Database) -> None:
    """Rows older than they are kept for are deleted, in as many steps as it takes; the others stay."""
    record(database, 90 * DAY_S, 31 * DAY_S, 30 * DAY_S + 60, 30 * DAY_S + 1, 30 * DAY_S - 60, 1)
    assert Retention(database, 30, Told(), step=3).purge() == 4
    assert written(database) == ["req_4", "req_5"]
    assert Retention(database, 30, Told(), step=3).purge() == 0


def test_it_begins_with_the_worker(database: Database) -> None:
    """A server that has no turns deletes what is too old all the same."""
    record(database, 2 * DAY_S, 1)
    retention = Retention(database, 1, Told())
    retention.start()
    with gevent.Timeout(10):
        while written(database) != ["req_1"]:
            gevent.sleep(0.02)
    retention.stop()


def test_one_worker_at_a_time(database: Database) -> None:
    """On Postgres, which many servers share, whoever finds another one deleting leaves it to that one."""
    record(database, 2 * DAY_S)
    with database.engine.begin() as other:
        if database.is_postgres:
            other.execute(select(func.pg_advisory_xact_lock(LOCK)))
            assert Retention(database, 1, Told()).purge() == 0
    assert Retention(database, 1, Told()).purge() == 1

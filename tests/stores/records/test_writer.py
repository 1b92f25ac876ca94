"""The queue of rows, and what empties it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import gevent
import pytest
from gateway import free_port
from sqlalchemy import Connection
from stores.records.conftest import Told, turn, written

from app.stores.records.database import Database, Unavailable, database_of
from app.stores.records.writer import BATCH, Writer

T = TypeVar("T")


@pytest.fixture
def told() -> Told:
    """The writer's log."""
    return Told()


@pytest.fixture
def nobody() -> Iterator[Database]:
    """A Postgres that refuses every connection."""
    database = database_of(f"postgres://127.0.0.1:{free_port()}/none", Path())
    yield database
    database.engine.dispose()


def names(count: int, first: int = 0) -> list[str]:
    """Return the request ids of so many turns."""
    return [f"req_{number:04}" for number in range(first, first + count)]


def end_turns(writer: Writer, count: int) -> None:
    """Let so many turns end, a second after another."""
    for number, name in enumerate(names(count)):
        writer.turn_ended(turn(name, 1_800_000_000 + number))


def test_rows_are_written_behind_the_turns_back(database: Database, told: Told) -> None:
    """A turn's end writes nothing; soon after, by itself, the writer does, in as many batches as it takes."""
    writer = Writer(database, 1000, told)
    end_turns(writer, 2 * BATCH + 7)
    assert written(database) == []
    with gevent.Timeout(10):
        while writer.waiting:
            gevent.sleep(0.05)
    assert written(database) == names(2 * BATCH + 7)
    end_turns(writer, 1)
    writer.stop(5)
    assert len(written(database)) == 2 * BATCH + 8


class Forgetful(Database):
    """A real database, whose word that all is written is lost the first time."""

    has_forgotten = False

    def run(self, work: Callable[[Connection], T], within_s: float = 5.0) -> T:
        done = super().run(work, within_s)
        if not self.has_forgotten:
            self.has_forgotten = True
            raise Unavailable("the connection broke after the commit")
        return done


def test_what_is_tried_again_is_written_once(database: Database, told: Told) -> None:
    """A batch that was written, without the writer's knowing, is tried again, and there is no row twice."""
    writer = Writer(Forgetful(database.engine), 1000, told)
    end_turns(writer, 5)
    with gevent.Timeout(10):
        while writer.waiting:
            gevent.sleep(0.05)
    assert written(database) == names(5)
    reason = "the connection broke after the commit"
    assert told.lines == [("records_wait", {"reason": reason, "waiting": 5}), ("records_written", {"lost": 0})]


def test_a_row_that_is_refused_takes_no_other_with_it(database: Database, told: Told) -> None:
    """Where the database refuses a row for what it holds, all others are written, and the loss is told and counted."""
    writer = Writer(database, 1000, told)
    end_turns(writer, 3)
    writer.turn_ended(turn("req_bad", conversation_id="\ud800"))
    writer.turn_ended(turn("req_good", 2_000_000_000, conversation_id="a\0b"))
    writer.stop(5)
    assert written(database) == [*names(3), "req_good"]
    assert [event for event, _ in told.lines] == ["records_lost", "records_written"]
    assert told.lines[1] == ("records_written", {"lost": 1})


def test_beyond_the_bound_the_oldest_go(nobody: Database, told: Told) -> None:
    """A database that stays away costs what does not fit into the queue, and it is told once, however much that is."""
    writer = Writer(nobody, 300, told)
    end_turns(writer, 350)
    assert writer.waiting == 300
    assert told.lines == [("records_lost", {"reason": "the queue is full", "lost": 1})]
    writer.stop(5)
    wait, lost = told.lines[1:]
    assert wait[0] == "records_wait"
    assert "Connection refused" in wait[1]["reason"]
    assert lost == ("records_lost", {"reason": "the server has stopped", "lost": 350})


def test_an_outage_is_told_once(nobody: Database, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is tried, the log has one line for an outage."""
    monkeypatch.setattr("app.stores.records.writer.FLUSH_S", 0.01)
    monkeypatch.setattr("app.stores.records.writer.LONGEST_PAUSE_S", 0.02)
    writer = Writer(nobody, 300, told)
    tries: list[float] = []
    run = nobody.run
    monkeypatch.setattr(nobody, "run", lambda *arguments: tries.append(1) or run(*arguments))  # type: ignore[func-returns-value]
    end_turns(writer, 1)
    with gevent.Timeout(10):
        while len(tries) < 5:
            gevent.sleep(0.01)
    assert [event for event, _ in told.lines] == ["records_wait"]
    writer.stop(1)

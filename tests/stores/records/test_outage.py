"""A database that is down, hangs or is not ready, under real gunicorn: no turn is the worse for it, no row is lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from api.client import chat
from gateway import Gateway
from postgres import Postgres
from upstreams import OpenAIUpstream

from app.stores.records.schema import migrated

CALLERS = 4
SLOWEST_S = 1.5
"""Of a turn that takes some milliseconds. Whoever waited for the database would wait for 5 s, its time-out."""

Freeze = Callable[[Postgres], None]


def recording(upstream: OpenAIUpstream, url: str, *, workers: int = 2, **env: str) -> Gateway:
    """Return a gateway whose turns go on record there."""
    own = {"OPENAI_API_KEY": upstream.key, "OPENAI_BASE_URL": upstream.base_url, "DATABASE_URL": url}
    gateway = Gateway(own | env)
    gateway._command[gateway._command.index("--workers") + 1] = str(workers)
    return gateway


def rows(url: str) -> list[str]:
    """Return the request ids on record, in the order in which the turns ended."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT request_id FROM glottis_turns ORDER BY began_at + total_ms / 1000"
        ).fetchall()
    return [row[0] for row in found]


def wait_for_rows(url: str, names: set[str], timeout_s: float = 20.0) -> None:
    """Wait until all of these turns are on record; each is there once, and none besides."""
    deadline = time.monotonic() + timeout_s
    while len(found := rows(url)) < len(names) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) == len(set(found))
    assert set(found) == names


class Load:
    """Callers who ask for one turn after another."""

    def __init__(self, gateway: Gateway) -> None:
        self.names: set[str] = set()
        self.statuses: set[int] = set()
        self.slowest_s = 0.0
        self._gateway = gateway
        self._is_over = False

    def wait_for(self, count: int) -> None:
        """Wait until so many more turns are over."""
        until = len(self.names) + count
        while len(self.names) < until:
            time.sleep(0.02)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Let them call."""
        threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._is_over = True
            for thread in threads:
                thread.join()

    def _call(self, caller: int) -> None:
        count = 0
        while not self._is_over:
            count += 1
            name = f"req-{caller}-{count}"
            began = time.monotonic()
            reply = chat(self._gateway, "gpt-4.1", stream=True, headers={"X-Request-Id": name})
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.statuses.add(reply.status if reply.events[-1] == "[DONE]" else 0)
            self.names.add(name)


@pytest.mark.parametrize(
    ("down", "reason"), [(Postgres.stop, ""), (Postgres.freeze, "no answer in time")], ids=["dead", "hanging"]
)
def test_a_database_that_is_down(
    postgres: Postgres, openai_upstream: OpenAIUpstream, down: Freeze, reason: str
) -> None:
    """While Postgres is dead, or answers nothing, turns are as quick as ever; and afterwards all are on record."""
    url = postgres.database()
    migrated(url, Path())
    with recording(openai_upstream, url) as gateway, Load(gateway).running() as load:
        load.wait_for(20)
        down(postgres)
        try:
            (line, *_) = gateway.events("records_wait", timeout_s=15)
            assert reason in line["reason"]
            load.wait_for(100)
        finally:
            if down is Postgres.stop:
                postgres.start()
            else:
                postgres.go_on()
        load.wait_for(20)
    with_all = load.names
    assert load.statuses == {200}
    assert load.slowest_s < SLOWEST_S
    wait_for_rows(url, with_all)
    assert "records_lost" not in gateway.output


def test_beyond_the_bound(postgres: Postgres, openai_upstream: OpenAIUpstream) -> None:
    """Of an outage longer than the queue, as many turns as it holds are there afterwards; the others are counted."""
    url = postgres.database()
    migrated(url, Path())
    with recording(openai_upstream, url, workers=1, RECORDS_QUEUE="200") as gateway:
        postgres.stop()
        names = [f"req-{number}" for number in range(260)]
        try:
            for name in names:
                assert chat(gateway, "gpt-4.1", headers={"X-Request-Id": name}).status == 200
            (lost,) = gateway.events("records_lost")
            assert (lost["level"], lost["reason"]) == ("error", "the queue is full")
        finally:
            postgres.start()
        (back,) = gateway.events("records_written", timeout_s=20)
        assert back["lost"] == 60
        found = rows(url)
        assert len(found) == len(set(found)) == 200
        assert set(names[-100:]) < set(found) < set(names)
        assert len(gateway.events("records_lost")) == len(gateway.events("records_wait")) == 1


def test_a_database_that_is_not_migrated(postgres: Postgres, openai_upstream: OpenAIUpstream) -> None:
    """A server whose database has no table says what to run, and what it kept is there when that was run."""
    url = postgres.database()
    with recording(openai_upstream, url, RECORDS_KEPT_DAYS="0") as gateway:
        assert chat(gateway, "gpt-4.1", headers={"X-Request-Id": "req-early"}).status == 200
        (line,) = gateway.events("records_wait")
        assert line["reason"] == "the database is not migrated: run python -m app.cli.migrate"
        migrated(url, Path())
        wait_for_rows(url, {"req-early"})


def test_a_server_that_is_stopped_writes_what_waits(postgres: Postgres, openai_upstream: OpenAIUpstream) -> None:
    """At SIGTERM what is in the queue is written before the worker ends."""
    url = postgres.database()
    migrated(url, Path())
    with recording(openai_upstream, url) as gateway:
        names = {f"req-{number}" for number in range(10)}
        for name in names:
            chat(gateway, "gpt-4.1", headers={"X-Request-Id": name})
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(15)
    assert set(rows(url)) == names


def test_a_server_that_is_stopped_does_not_wait_for_its_database(
    postgres: Postgres, openai_upstream: OpenAIUpstream
) -> None:
    """While Postgres hangs, a server that is stopped ends in its time all the same, and tells what it lost."""
    url = postgres.database()
    migrated(url, Path())
    with recording(openai_upstream, url, workers=1) as gateway:
        chat(gateway, "gpt-4.1")
        wait_for_count(url, 1)
        postgres.freeze()
        try:
            chat(gateway, "gpt-4.1")
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(10)
        finally:
            postgres.go_on()
        (lost,) = gateway.events("records_lost")
        assert (lost["reason"], lost["lost"]) == ("the server has stopped", 1)


def wait_for_count(url: str, count: int) -> None:
    """Wait until so many turns are on record."""
    deadline = time.monotonic() + 10
    while len(rows(url)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)

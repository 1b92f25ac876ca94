"""A database that is down, hangs or is not ready, under real gunicorn: no turn is the worse for it, no row is lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from api.client import chat, request
from gateway import Gateway
from postgres import Postgres
from upstreams import OpenAIUpstream

from app.stores.records.schema import migrated

CALLERS = 4
RECORDS_KEY = "keeper-key-0123456789"
SLOWEST_S = 1.5
"""Of a turn that takes some milliseconds. Whoever waited for the database would wait for 5 s, its time-out."""

RECOVERED_S = 20
"""Until all is on record after an outage: at most 5 s pass between two tries."""

Change = Callable[[Postgres], None]


def recording(upstream: OpenAIUpstream, url: str, *, workers: int = 2, **env: str) -> Gateway:
    """Return a gateway whose turns go on record there."""
    own = {"OPENAI_API_KEY": upstream.key, "OPENAI_BASE_URL": upstream.base_url, "DATABASE_URL": url}
    gateway = Gateway(own | env)
    gateway._command[gateway._command.index("--workers") + 1] = str(workers)
    return gateway


@pytest.fixture(scope="module")
def recorded(postgres: Postgres, openai_upstream: OpenAIUpstream) -> Iterator[tuple[Gateway, str]]:
    """Two workers, and the address where their turns go on record."""
    url = postgres.database()
    migrated(url, Path())
    with recording(openai_upstream, url, RECORDS_KEY=RECORDS_KEY) as gateway:
        yield gateway, url


def rows(url: str) -> list[str]:
    """Return the request ids on record, in the order in which the turns ended."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT request_id FROM glottis_turns ORDER BY began_at + total_ms / 1000"
        ).fetchall()
    return [row[0] for row in found]


def wait_for_rows(url: str, names: set[str]) -> None:
    """Wait until all of these turns are on record; each is there once."""
    deadline = time.monotonic() + RECOVERED_S
    while not names <= set(found := rows(url)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) == len(set(found))
    assert names - set(found) == set()


class Load:
    """Callers who ask for one turn after another."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.names: set[str] = set()
        self.statuses: set[int] = set()
        self.slowest_s = 0.0
        self._gateway = gateway
        self._name = name
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
            name = f"{self._name}-{caller}-{count}"
            began = time.monotonic()
            reply = chat(self._gateway, "gpt-4.1", stream=True, headers={"X-Request-Id": name})
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.statuses.add(reply.status if reply.events[-1] == "[DONE]" else 0)
            self.names.add(name)


OUTAGES = [(Postgres.stop, Postgres.start), (Postgres.freeze, Postgres.go_on)]


@pytest.mark.parametrize(("down", "up"), OUTAGES, ids=["dead", "hanging"])
def test_a_database_that_is_down(postgres: Postgres, recorded: tuple[Gateway, str], down: Change, up: Change) -> None:
    """While Postgres is dead, or answers nothing, turns are as quick as ever; and afterwards all are on record.

    Who reads the record meanwhile is told so.
    """
    gateway, url = recorded
    with Load(gateway, down.__name__).running() as load:
        load.wait_for(20)
        told = len(gateway.events("records_wait", 0))
        down(postgres)
        try:
            gateway.events("records_wait", told + 1, timeout_s=20)
            reply = request(gateway, "GET", "/v1/turns", headers={"X-API-Key": RECORDS_KEY})
            assert (reply.status, reply.json["error"]["code"]) == (503, "records_unavailable")
            load.wait_for(100)
        finally:
            up(postgres)
        load.wait_for(20)
    assert load.statuses == {200}
    assert load.slowest_s < SLOWEST_S
    wait_for_rows(url, load.names)
    assert "records_lost" not in gateway.output
    assert ("no answer in time" in gateway.output) == (down is Postgres.freeze)


def test_beyond_the_bound(postgres: Postgres, openai_upstream: OpenAIUpstream) -> None:
    """Of an outage longer than the queue, as many turns as it holds are there afterwards; the others are counted.

    And while Postgres hangs, a server that is stopped does not wait for it, and tells what is lost.
    """
    url = postgres.database()
    migrated(url, Path())
    names = [f"req-{number}" for number in range(260)]
    with recording(openai_upstream, url, workers=1, RECORDS_QUEUE="200") as gateway:
        postgres.stop()
        try:
            for name in names:
                assert chat(gateway, "gpt-4.1", headers={"X-Request-Id": name}).status == 200
            (full,) = gateway.events("records_lost")
            assert (full["level"], full["reason"]) == ("error", "the queue is full")
        finally:
            postgres.start()
        (back,) = gateway.events("records_written", timeout_s=RECOVERED_S)
        assert back["lost"] == 60
        found = rows(url)
        assert len(found) == len(set(found)) == 200
        assert set(names[-100:]) < set(found) < set(names)
        assert len(gateway.events("records_lost")) == 1
        postgres.freeze()
        try:
            chat(gateway, "gpt-4.1")
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(15)
        finally:
            postgres.go_on()
        stopped = gateway.events("records_lost", 2)[1]
        assert (stopped["reason"], stopped["lost"]) == ("the server has stopped", 1)


def test_a_database_that_is_not_migrated(postgres: Postgres, openai_upstream: OpenAIUpstream) -> None:
    """A server whose database has no table says what to run, and what it kept is there when that was run.

    And a server that is stopped writes what waits before it ends.
    """
    url = postgres.database()
    with recording(openai_upstream, url, RECORDS_KEPT_DAYS="0") as gateway:
        assert chat(gateway, "gpt-4.1", headers={"X-Request-Id": "req-early"}).status == 200
        (line,) = gateway.events("records_wait")
        assert line["reason"] == "the database is not migrated: run python -m app.cli.migrate"
        migrated(url, Path())
        wait_for_rows(url, {"req-early"})
        late = {f"req-{number}" for number in range(10)}
        for name in late:
            chat(gateway, "gpt-4.1", headers={"X-Request-Id": name})
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(15)
    assert set(rows(url)) == {"req-early", *late}

"""Many workers: thousands of streams at once, and one of the workers dies in the middle of them."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway import KEY, ROOT, Gateway, free_port
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.parser import text_string_to_metric_families

WORKERS = 4
STREAMS = 2000
BEFORE, AFTER = 200, 40
"""Callers before the storm, so that the worker that dies has counted some, and after it."""

WORDS, HOLD_AFTER, TICK_S = 30, 5, 0.12
FILES = 2 * STREAMS + 500
"""What may be open in one process, if one worker gets nearly all streams."""

CONFIG = """
[defaults.budget]
first_token_s = 100
idle_s = 100

[providers.crowd]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"

[routes.quick]
target = "crowd/quick"

[routes.held]
target = "crowd/held"
"""


@pytest.fixture
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"{FILES} open files a process are needed, and only {hard} may be (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def crowd(part: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run one of the crowd's two processes."""
    command = [sys.executable, "-m", f"e2e.crowd.{part}", *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=ROOT / "tests", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def called(gateway: Gateway, model: str, count: int) -> Any:
    """Let a crowd call; return what they heard."""
    with crowd("callers", gateway.port, KEY, model, count, WORDS) as callers:
        told(callers)
        return told(callers)


def order(process: subprocess.Popen[str], what: str) -> None:
    """Give a process a line on its standard input."""
    assert process.stdin is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()


def told(process: subprocess.Popen[str]) -> Any:
    """Return the next line that a process prints, which is JSON."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


class Metrics:
    """What /metrics says at a moment."""

    def __init__(self, gateway: Gateway) -> None:
        with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=30) as reply:
            families = text_string_to_metric_families(reply.read().decode())
        self._samples = [sample for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """Add up the samples of this name that have these labels."""
        return sum(each.value for each in self._samples if each.name == name and labels.items() <= each.labels.items())

    def ends(self) -> dict[str, float]:
        """Return how many turns ended how."""
        ends: Counter[str] = Counter()
        for sample in self._samples:
            if sample.name == "glottis_turns_total" and sample.value:
                ends[sample.labels["end"]] += int(sample.value)
        return dict(ends)


def until(gateway: Gateway, is_so: Callable[[Metrics], bool], timeout_s: float = 30) -> Metrics:
    """Return the metrics as soon as they are so; what a gauge tells is up to a second old."""
    deadline = time.monotonic() + timeout_s
    while not is_so(metrics := Metrics(gateway)):
        assert time.monotonic() < deadline, vars(metrics)
        time.sleep(0.1)
    return metrics


def in_flight(count: int) -> Callable[[Metrics], bool]:
    """Whether so many turns are in flight, and all workers are there."""
    return lambda metrics: (
        (metrics.total("glottis_turns_in_flight"), metrics.total("glottis_workers")) == (count, WORKERS)
    )


def workers(gateway: Gateway) -> list[int]:
    """Return the process ids of the workers."""
    master = gateway.process.pid
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def callers_of(pid: int, port: int) -> set[int]:
    """Return the clients' ports of the connections that a process has at this port of its own."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        target = str(fd.readlink())
        if target.startswith("socket:["):
            inodes.add(target[len("socket:[") : -1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = [(row[1], row[2]) for row in rows if row[9] in inodes and row[3] == "01"]
    return {int(far.split(":")[1], 16) for near, far in ends if int(near.split(":")[1], 16) == port}


def turns_counted_by(pid: int, folder: Path) -> float:
    """Return how many turns a worker has counted, from its own file."""
    values = MmapedDict.read_all_values_from_file(str(folder / f"counter_{pid}.db"))
    return sum(value for key, value, *_ in values if json.loads(key)[1] == "glottis_turns_total")


@pytest.mark.skipif(sys.platform != "linux", reason="it asks /proc whose connections are whose")
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("_many_files")
def test_a_worker_dies_among_two_thousand_streams(tmp_path: Path) -> None:
    """SIGKILL ends the streams of that worker and no others; what it counted stays, and what it had open is gone."""
    folder, port = tmp_path / "metrics", free_port()
    folder.mkdir()
    (folder / "counter_1.db").write_bytes(b"of a server before")
    env = {"WEB_CONCURRENCY": str(WORKERS), "METRICS": "true", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
    with crowd("provider", WORDS, HOLD_AFTER, TICK_S) as provider:
        config = CONFIG.format(port=told(provider))
        with Gateway(env, config=config, folder=tmp_path, command=command, port=port) as gateway:
            _storm(gateway, provider, folder)


def _storm(gateway: Gateway, provider: subprocess.Popen[str], folder: Path) -> None:
    assert called(gateway, "quick", BEFORE)["whole"] == list(range(BEFORE))
    with crowd("callers", gateway.port, KEY, "held", STREAMS, WORDS) as callers:
        ports = told(callers)["ports"]
        until(gateway, in_flight(STREAMS))
        victim = max(workers(gateway), key=lambda pid: len(callers_of(pid, gateway.port)))
        theirs = callers_of(victim, gateway.port)
        lost = [number for number, port in enumerate(ports) if port in theirs]
        assert len(lost) == len(theirs) > 0
        assert turns_counted_by(victim, folder) > 0

        os.kill(victim, signal.SIGKILL)
        until(gateway, in_flight(STREAMS - len(lost)))
        order(provider, "go on")
        heard = told(callers)
    assert heard["wrong"] == []
    assert heard["cut"] == lost
    assert len(heard["whole"]) == STREAMS - len(lost)

    assert called(gateway, "quick", AFTER)["whole"] == list(range(AFTER))
    metrics = until(gateway, in_flight(0))
    counted = BEFORE + STREAMS - len(lost) + AFTER
    assert metrics.ends() == {"completed": counted}
    assert metrics.total("glottis_turn_seconds_count") == counted
    assert metrics.total("glottis_first_speakable_seconds_count", route="held") == STREAMS - len(lost)
    assert metrics.total("glottis_overhead_seconds_count") == counted
    assert metrics.total("glottis_attempts_total", outcome="answered") == counted
    assert provider.stdin is not None
    provider.stdin.close()
    assert sorted(told(provider)) == lost

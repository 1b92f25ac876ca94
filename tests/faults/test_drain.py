"""A server that is told to stop: SIGTERM, once, and what each of its callers has of it."""

import http.client
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from api.client import read_until
from faults.caller import Heard, ask, calling, line_of, new_mark
from faults.provider import FaultyProvider
from faults.routes import config, environment
from faults.table import TEXT, said_words, words
from gateway import Gateway
from upstreams import Gate
from upstreams import openai as gpt

SHUTDOWN_S = 7.0
"""From SIGTERM to SIGKILL, as the host has it; streams have until LAST_WORD_S before it."""

LAST_WORD_S = 5.0
SLACK_S = 1.0
POLL_S = 0.1


@dataclass
class Stopped:
    """What happened to a server with four callers and a kept connection. Times are seconds since SIGTERM."""

    gateway: Gateway
    ready: int = 0
    """The readiness, asked over a connection that was there before."""
    refused_s: float = 0.0
    idle_closed_s: float = 0.0
    finishes: Heard | None = None
    stalls: Heard | None = None
    silent: Heard | None = None
    whole: Heard | None = None
    ended_s: dict[str, float] = field(default_factory=dict)
    exited_s: float = 0.0
    exit_code: int | None = None


@pytest.fixture(scope="module")
def stopped(provider: FaultyProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """Start a server, give it work, tell it to stop, and watch it end."""
    folder: Path = tmp_path_factory.mktemp("drain")
    env = environment(provider) | {"SHUTDOWN_S": f"{SHUTDOWN_S:.0f}"}
    with Gateway(env, config=config(), folder=folder) as gateway, ThreadPoolExecutor(4) as pool:
        yield _watched(Stopped(gateway), provider, pool)


def _watched(seen: Stopped, provider: FaultyProvider, pool: ThreadPoolExecutor) -> Stopped:
    gateway, gate = seen.gateway, threading.Event()
    provider.openai.answers["storm"] = gpt.text_answer([*words(TEXT)[:30], Gate(gate), *words(TEXT)[30:]])
    calls = {
        "finishes": ("storm", True),
        "stalls": ("gone-openai-stall", True),
        "silent": ("gone-openai-silent", True),
        "whole": ("gone-anthropic-stall", False),
    }
    marks = {name: new_mark(name) for name in calls}
    futures: dict[str, Future[Heard]] = {
        name: pool.submit(ask, gateway, route, marks[name], stream=stream) for name, (route, stream) in calls.items()
    }
    for mark in marks.values():
        provider.attempts(mark, 1)
    # Another caller, who is as far as they get when half of the text is there: so are those above.
    with calling(gateway, "storm", new_mark("other"), stream=True) as other:
        read_until(other, words(TEXT)[29].encode())
    kept = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
    kept.request("GET", "/health")
    kept.getresponse().read()

    idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=SHUTDOWN_S)
    idle.request("GET", "/health")
    idle.getresponse().read()

    term_at = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    while seen.ready in (0, 200) and time.monotonic() < term_at + SLACK_S:  # the signal is on its way
        kept.request("GET", "/health/ready")
        answer = kept.getresponse()
        answer.read()
        seen.ready = answer.status
    kept.close()
    seen.refused_s = _until_refused(gateway.port) - term_at
    assert idle.sock.recv(1) == b""
    seen.idle_closed_s = time.monotonic() - term_at
    idle.close()
    gate.set()
    for name, future in futures.items():
        heard = future.result()
        setattr(seen, name, heard)
        seen.ended_s[name] = heard.began_at + heard.took_s - term_at
    seen.exit_code = gateway.process.wait(SHUTDOWN_S)
    seen.exited_s = time.monotonic() - term_at
    return seen


def _until_refused(port: int) -> float:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return time.monotonic()
        time.sleep(POLL_S)  # a flood of connections would hold up the server
    pytest.fail("it still accepts connections")


def test_readiness_says_so(stopped: Stopped) -> None:
    """Who asks over a connection that is still open is told 503 at once, and sends nobody here any more."""
    assert stopped.ready == 503


def test_no_new_connections(stopped: Stopped) -> None:
    """Soon nobody can connect."""
    assert stopped.refused_s < 2 * SLACK_S


def test_connections_that_nobody_uses_are_closed(stopped: Stopped) -> None:
    """A kept connection without a request does not hold the server, and its closing is no error."""
    assert stopped.idle_closed_s < 1 + 2 * SLACK_S
    assert "Socket error" not in stopped.gateway.output


def test_streams_in_flight_finish(stopped: Stopped) -> None:
    """An answer that began before is heard to its end."""
    assert stopped.finishes is not None
    stopped.finishes.is_whole()
    assert stopped.finishes.text == TEXT
    assert line_of(stopped.gateway, stopped.finishes)["end"] == "completed"


def test_who_is_not_done_in_time_is_told(stopped: Stopped) -> None:
    """A stream that is still open 5 s before the host's deadline ends with an error event and without [DONE]."""
    assert stopped.stalls is not None
    stopped.stalls.is_broken_off()
    assert stopped.stalls.text == said_words(20)
    assert stopped.stalls.error is not None
    assert stopped.stalls.error["code"] == "server_stopping"
    due_s = SHUTDOWN_S - LAST_WORD_S
    assert due_s - 0.5 < stopped.ended_s["stalls"] < due_s + SLACK_S


def test_who_has_heard_nothing_gets_a_status(stopped: Stopped) -> None:
    """Before the first word, and where nothing is streamed, it is a 503."""
    for heard in (stopped.silent, stopped.whole):
        assert heard is not None
        assert heard.status == 503
        assert heard.body["error"]["code"] == "server_stopping"


def test_it_ends_in_time(stopped: Stopped) -> None:
    """The process is gone before the host kills it, in good order."""
    assert stopped.exited_s < SHUTDOWN_S
    assert stopped.exit_code == 0
    assert "Traceback" not in stopped.gateway.output


def test_the_log_tells_of_it(stopped: Stopped, provider: FaultyProvider) -> None:
    """Each turn that was ended has its line, and nothing is left open at the provider."""
    for heard in (stopped.stalls, stopped.silent, stopped.whole):
        assert heard is not None
        assert line_of(stopped.gateway, heard)["end"] == "drained"
    provider.wait_until_idle()

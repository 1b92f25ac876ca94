"""Several servers with one Valkey, real all of them: they share answers under way, the cache, and failing targets."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api.client import JSON, Reply, chat, read_until, request
from gateway import Gateway
from upstreams import Gate, OpenAIUpstream
from upstreams import openai as gpt
from valkeys import RealValkey

WORDS = ["We ", "are ", "open ", "from ", "nine ", "to ", "five, ", "every ", "day."]
TEXT = "".join(WORDS)
HALF = 4

CONFIG = """
[defaults.budget]
retries = 0
first_token_s = 20
idle_s = 20

[routes.shared]
target = "openai/gpt-4o-shared"

[routes.kept]
target = "openai/gpt-4o-kept"
cache_ttl_s = 60

[routes.broken]
targets = ["openai/gpt-4o-broken", "openai/gpt-4o-well"]

[routes.broken.budget]
cooldown_after = 3
cooldown_s = 2.0
"""


class Fleet:
    """Two servers, the second one with two workers, before one upstream."""

    def __init__(self, upstream: OpenAIUpstream, valkey: RealValkey, folder: Path) -> None:
        self.upstream = upstream
        env = {
            "OPENAI_API_KEY": upstream.key,
            "OPENAI_BASE_URL": upstream.base_url,
            "VALKEY_URL": valkey.url,
        }
        self.first = Gateway(env, config=CONFIG, folder=folder)
        self.second = Gateway(env | {"GUNICORN_CMD_ARGS": "--workers 2"}, config=CONFIG, folder=folder)

    def asked(self, mark: str) -> int:
        """How often the upstream was asked for the turn with this mark."""
        return sum(mark in json.dumps(each.json) for each in self.upstream.requests)


@pytest.fixture(scope="module")
def fleet(
    openai_upstream: OpenAIUpstream, shared_valkey: RealValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Run the servers."""
    fleet = Fleet(openai_upstream, shared_valkey, tmp_path_factory.mktemp("fleet"))
    with fleet.first, fleet.second:
        yield fleet


@pytest.fixture
def gate(fleet: Fleet) -> Iterator[threading.Event]:
    """A model that says half of its words, and the rest when the gate opens."""
    gate = threading.Event()
    fleet.upstream.answers["gpt-4o-shared"] = lambda _: gpt.text_answer([*WORDS[:HALF], Gate(gate), *WORDS[HALF:]])
    yield gate
    gate.set()


def asks(mark: str, **fields: Any) -> dict[str, Any]:
    """Name a turn, and its conversation."""
    return {
        "messages": [{"role": "user", "content": f"{mark}: when are you open?"}],
        "headers": {"X-Conversation-Id": mark},
        "stream": True,
        **fields,
    }


def begin(gateway: Gateway, mark: str, **fields: Any) -> "Future[Reply]":
    """Ask in a thread."""
    future: Future[Reply] = Future()
    threading.Thread(
        target=lambda: future.set_result(chat(gateway, "shared", **asks(mark, **fields))), daemon=True
    ).start()
    return future


def test_copies_at_different_workers_share_a_call(fleet: Fleet, gate: threading.Event) -> None:
    x=time.monotonic()
    first = begin(fleet.first, "mark-a")
    fleet.upstream.wait_for_requests(1)
    others = [begin(fleet.second, "mark-a") for _ in range(4)]
    time.sleep(1)
    gate.set()
    for f in [first, *others]:
        assert f.result(10).text == TEXT
    assert fleet.asked("mark-a") == 1
    for line in fleet.first.turns(1, conversation_id="mark-a")+ fleet.second.turns(4, conversation_id="mark-a"):
        print(json.dumps(line))
    print(time.monotonic()-x)

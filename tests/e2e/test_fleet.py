"""Several servers with one Valkey, real all of them: they share answers under way, the cache, and failing targets."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api.client import Reply, begin_chat, chat, read_until
from gateway import Gateway, free_port
from upstreams import Answer, Gate, OpenAIUpstream, Recorded
from upstreams import openai as gpt
from valkeys import RealValkey, running_valkey

from app.engine.messages import VERSION

WORDS = ["We ", "are ", "open ", "from ", "nine ", "to ", "five, ", "every ", "day."]
TEXT = "".join(WORDS)
HALF = 4
SLACK_S = 1.0

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
cooldown_s = 1.0
"""


class Servers:
    """Two servers before one upstream, the second one with two workers."""

    def __init__(self, upstream: OpenAIUpstream, valkey: RealValkey, folder: Path) -> None:
        self.upstream = upstream
        self.valkey = valkey
        env = {"OPENAI_API_KEY": upstream.key, "OPENAI_BASE_URL": upstream.base_url, "VALKEY_URL": valkey.url}
        self.first = Gateway(env, config=CONFIG, folder=folder)
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}", "wsgi:app"]
        self.second = Gateway(env, config=CONFIG, folder=folder, port=port, command=command)

    def wait_until_joined(self) -> None:
        """Wait until all three workers hear each other."""
        with self.valkey.client() as client:
            until = time.monotonic() + 10
            while sum(count for _, count in client.pubsub_numsub(f"glottis:{VERSION}:0:all")) < 3:
                assert time.monotonic() < until
                time.sleep(0.01)

    def asked(self, mark: str, model: str = "") -> list[Recorded]:
        """The upstream calls for turns with this mark."""
        return [
            each
            for each in self.upstream.requests
            if mark in json.dumps(each.json) and (each.model or "").endswith(model)
        ]

    def wait_asked(self, mark: str, count: int) -> list[Recorded]:
        """Wait for so many of them."""
        until = time.monotonic() + 5
        while len(found := self.asked(mark)) < count:
            assert time.monotonic() < until, f"{len(found)} of {count} calls"
            self.upstream.wait_for_requests(0)
            time.sleep(0.01)
        return found


@pytest.fixture(scope="module")
def servers(openai_upstream: OpenAIUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Run them, with a store of their own."""
    with running_valkey() as valkey:
        servers = Servers(openai_upstream, valkey, tmp_path_factory.mktemp("servers"))
        with servers.first, servers.second:
            servers.wait_until_joined()
            yield servers


@pytest.fixture
def gate(openai_upstream: OpenAIUpstream) -> Iterator[threading.Event]:
    """A model that says half of its words, and the rest when the gate opens; who goes on gets what is missing."""
    gate = threading.Event()

    def answer(recorded: Recorded) -> Answer:
        said = [each["content"] for each in recorded.json["messages"] if each["role"] == "assistant"]
        if said:
            return gpt.text_answer([TEXT.removeprefix(said[0])])
        return gpt.text_answer([*WORDS[:HALF], Gate(gate), *WORDS[HALF:]])

    openai_upstream.answers["gpt-4o-shared"] = answer
    yield gate
    gate.set()


def asks(mark: str, **fields: Any) -> dict[str, Any]:
    """Name a turn, and its conversation."""
    return {
        "messages": [{"role": "user", "content": f"{mark}: when are you open?"}],
        "elevenlabs_extra_body": {"conversation_id": mark},
        "stream": True,
        **fields,
    }


Caller = Callable[[Gateway, str], socket.socket]


@pytest.fixture
def call() -> Iterator[Caller]:
    """Call a server, and hear half of the answer."""
    with contextlib.ExitStack() as stack:

        def begin(gateway: Gateway, mark: str) -> socket.socket:
            sock = stack.enter_context(begin_chat(gateway, "shared", **asks(mark)))
            read_until(sock, WORDS[HALF - 1].encode())
            return sock

        yield begin


def rest_of(sock: socket.socket) -> bytes:
    """Hear the rest."""
    return read_until(sock, b"[DONE]")


def worker_of(gateway: Gateway) -> int:
    """The process id of a server's one worker."""
    (pid,) = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    return int(pid)


def test_copies_share_a_call(servers: Servers, gate: threading.Event, call: Caller) -> None:
    """Copies at several workers of two servers hear one upstream call, each from its start and as it comes."""
    mark = "mark-share"
    calls = [call(servers.first, mark), *(call(servers.second, mark) for _ in range(6))]
    assert len(servers.asked(mark)) == 1
    gate.set()
    assert all(WORDS[-1].encode() in rest_of(sock) for sock in calls)
    assert len(servers.asked(mark)) == 1
    own = servers.first.turns(1, conversation_id=mark)
    copies = servers.second.turns(6, conversation_id=mark)
    assert [line["shares"] for line in own + copies] == [None] + [own[0]["request_id"]] * 6
    assert [line["usage"] is not None for line in own + copies] == [True] + [False] * 6
    assert {line["target"] for line in own + copies} == {"openai/gpt-4o-shared"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_retry_after_the_end(servers: Servers, gate: threading.Event, stream: bool) -> None:
    """A copy that reaches another server right after the end is answered from what was said."""
    mark = f"mark-after-{stream}"
    gate.set()
    for server in (servers.first, servers.second, servers.second, servers.first):
        assert chat(server, "shared", **asks(mark, stream=stream)).text == TEXT
    assert len(servers.asked(mark)) == 1


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["in order", "the other way round"])
def test_the_last_one_leaves(servers: Servers, gate: threading.Event, call: Caller, order: list[int]) -> None:
    """The call goes on while anybody listens at any server, and ends at once with the last."""
    mark = f"mark-leave-{order[0]}"
    calls = [call(servers.first, mark), call(servers.second, mark)]
    (asked,) = servers.asked(mark)
    calls[order[0]].close()
    chat(servers.second, "nobody")  # by the time of this answer the leaving was noticed
    assert not asked.client_gone.is_set()
    closed_at = time.monotonic()
    calls[order[1]].close()
    assert asked.client_gone.wait(5)
    assert asked.client_gone_at is not None
    assert asked.client_gone_at - closed_at < SLACK_S
    lines = servers.first.turns(1, conversation_id=mark) + servers.second.turns(1, conversation_id=mark)
    assert [line["end"] for line in lines] == ["caller_gone"] * 2
    assert sum("usage" in attempt for line in lines for attempt in line["attempts"]) == 1


def test_killed_in_mid_answer(servers: Servers, gate: threading.Event, call: Caller) -> None:
    """A worker that makes an answer is killed: a copy at another one gets the rest, as one answer."""
    mark = "mark-killed"
    _, second = call(servers.first, mark), call(servers.second, mark)
    os.kill(worker_of(servers.first), signal.SIGKILL)
    assert b"".join(word.encode() for word in WORDS[HALF:]) in rest_of(second)
    assert len(servers.asked(mark)) == 2
    (line,) = servers.second.turns(1, conversation_id=mark)
    assert (line["end"], line["resumes"]) == ("completed", 1)
    servers.wait_until_joined()


def test_killed_before_a_word(servers: Servers, openai_upstream: OpenAIUpstream) -> None:
    """A worker is killed while its model is silent: a copy elsewhere asks again, and hears the whole answer."""
    mark = "mark-silent"
    openai_upstream.queue("gpt-4o-shared", Answer.silent(), gpt.text_answer(WORDS))
    with begin_chat(servers.first, "shared", **asks(mark)), ThreadPoolExecutor(3) as pool:
        servers.wait_asked(mark, 1)
        copies = [pool.submit(chat, servers.second, "shared", **asks(mark)) for _ in range(3)]
        chat(servers.second, "nobody")  # by the time of this answer they were taken
        os.kill(worker_of(servers.first), signal.SIGKILL)
        assert [copy.result().text for copy in copies] == [TEXT] * 3
    servers.wait_until_joined()
    assert len(servers.asked(mark)) == 2


def test_the_store_is_killed(servers: Servers, gate: threading.Event, call: Caller) -> None:
    """No turn fails when the store is killed, nor while it is down; and when it is back, copies share again."""
    calls = [call(servers.first, "mark-store"), call(servers.second, "mark-store")]
    servers.valkey.kill()
    gate.set()
    for sock in calls:
        assert WORDS[-1].encode() in rest_of(sock)
    for server in (servers.first, servers.second):
        assert chat(server, "shared", **asks("mark-down")).text == TEXT
    assert len(servers.asked("mark-down")) == 2
    servers.valkey.start()
    servers.wait_until_joined()
    for number in range(3):
        for server in (servers.first, servers.second):
            assert chat(server, "shared", **asks(f"mark-up-{number}")).text == TEXT
        assert len(servers.asked(f"mark-up-{number}")) == 1


def test_the_cache_is_shared(servers: Servers, openai_upstream: OpenAIUpstream) -> None:
    """What one server was answered all say again, word by word, without an upstream call."""
    openai_upstream.answers["gpt-4o-kept"] = gpt.text_answer(WORDS)
    mark = "mark-kept"

    def asked(server: Gateway, **fields: Any) -> Reply:
        reply = chat(server, "kept", **asks(mark, temperature=0, elevenlabs_extra_body=None, **fields))
        assert reply.text == TEXT
        return reply

    def pieces(reply: Reply) -> list[str]:
        deltas = [event["choices"][0]["delta"] for event in reply.events if event != "[DONE]"]
        return [delta["content"] for delta in deltas if delta.get("content")]

    miss = asked(servers.first)
    assert miss.headers["x-cache"] == "miss"
    until = time.monotonic() + 5
    while (hit := asked(servers.second)).headers["x-cache"] == "miss" and time.monotonic() < until:
        pass  # it is written after the last byte
    assert hit.headers["x-cache"] == "hit"
    calls = len(servers.asked(mark))
    assert pieces(hit) == pieces(miss)
    whole = asked(servers.first, stream=False)
    assert whole.headers["x-cache"] == "hit"
    assert whole.json["usage"]["completion_tokens"] > 0
    assert len(servers.asked(mark)) == calls
    no_store = asked(servers.first, headers={"Cache-Control": "no-store"})
    assert no_store.headers["x-cache"] == "miss"
    assert len(servers.asked(mark)) == calls + 1
    line = servers.first.turns(1, cache="hit", stream=False)[0]
    assert (line["usage"], line["attempts"], line["end"]) == (None, [], "completed")


def test_a_failing_target_is_known_to_all(servers: Servers, openai_upstream: OpenAIUpstream) -> None:
    """Failures at one server spare the callers of the other; then one turn of all probes, and all know it is well."""
    broken, may_answer = "gpt-4o-broken", threading.Event()
    openai_upstream.answers[broken] = gpt.error(503, "down")
    openai_upstream.answers["gpt-4o-well"] = gpt.text_answer(WORDS)
    for number in range(3):
        assert chat(servers.first, "broken", **asks(f"mark-opens-{number}")).text == TEXT
    opened_at = time.monotonic()
    assert len(servers.asked("mark-opens", broken)) == 3
    assert chat(servers.second, "broken", **asks("mark-spared")).text == TEXT
    if time.monotonic() - opened_at < 1.0:
        assert servers.asked("mark-spared", broken) == []
    openai_upstream.answers[broken] = gpt.text_answer(WORDS, before=[Gate(may_answer)])
    with ThreadPoolExecutor(8) as pool:
        time.sleep(max(0.0, opened_at + 1.05 - time.monotonic()))  # the cooldown
        both = [servers.first, servers.second] * 4
        asking = [
            pool.submit(chat, server, "broken", **asks(f"mark-probe-{number}")) for number, server in enumerate(both)
        ]
        servers.wait_asked("mark-probe", 8)
        may_answer.set()
        assert [each.result().text for each in asking] == [TEXT] * 8
    assert len(servers.asked("mark-probe", broken)) == 1
    until = time.monotonic() + 5
    for number in range(100):
        mark = f"mark-well-{number}"
        assert chat(servers.second, "broken", **asks(mark)).text == TEXT
        if servers.asked(mark, broken):
            break
        assert time.monotonic() < until

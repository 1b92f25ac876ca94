"""Traces as a collector gets them: real gunicorn, real sockets, and what happens when the collector is not there."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api.client import JSON, Reply, begin_chat, read_until, request
from gateway import KEY, ROOT, Gateway, clean_environment
from telemetry.collector import TRACES, Collector, Received
from upstreams import Answer, Gate, Hold, OpenAIUpstream
from upstreams import openai as gpt

SAID, ANSWERED, TOLD, COLLECTOR_KEY = "caller-words", "model-words", "provider-words", "collector-key-0123456789"

CONFIG = """
[providers.down]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"

[routes.desk]
target = "openai/gpt-4.1"

[routes.fallback]
targets = ["down/any", "openai/gpt-4.1"]

[routes.refused]
target = "openai/gpt-refused"

[routes.function]
target = "function:my_agent:failing"
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector that takes everything."""
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIUpstream]:
    """OpenAI, with an answer of its own for each model of the routes."""
    with OpenAIUpstream() as running:
        running.answers["gpt-4.1"] = gpt.text_answer(
            [f"{ANSWERED}. ", "Bye."], model="gpt-4.1-2025-04-14", usage=gpt.usage(40, 7, cached=32)
        )
        running.answers["gpt-refused"] = gpt.error(400, TOLD)
        running.answers["gpt-held"] = gpt.text_answer([f"{ANSWERED}. ", Hold()])
        yield running


def environment(upstream: OpenAIUpstream, endpoint: str, **more: str) -> dict[str, str]:
    """Return what a gateway needs that traces to this address."""
    return {
        "OPENAI_API_KEY": upstream.key,
        "OPENAI_BASE_URL": upstream.base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        **more,
    }


@pytest.fixture(scope="module")
def traced(
    collector: Collector, upstream: OpenAIUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """Glottis with two workers, and a collector that wants a key."""
    env = environment(
        upstream,
        collector.url,
        OTEL_EXPORTER_OTLP_HEADERS=f"x-key={COLLECTOR_KEY}",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=testing",
        WEB_CONCURRENCY="2",
    )
    with Gateway(env, config=CONFIG, folder=tmp_path_factory.mktemp("traced"), command=GUNICORN) as running:
        yield running


GUNICORN = [sys.executable, "-m", "gunicorn", "wsgi:app"]
"""With what the environment says: PORT and WEB_CONCURRENCY."""


def body(model: str, *, stream: bool = True) -> str:
    """Write a request that says something."""
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": SAID}]})


def ask(gateway: Gateway, model: str, conversation: str, *, stream: bool = True, **headers: str) -> Reply:
    """Ask for a turn of this conversation."""
    return request(
        gateway,
        "POST",
        "/v1/chat/completions",
        body(model, stream=stream),
        JSON | {"X-Conversation-Id": conversation} | headers,
    )


def is_within(inner: Received, outer: Received) -> bool:
    """Whether a span lies in another; the turn's clock starts a moment after the request came."""
    slack_ns = 5_000_000
    return outer.began_ns <= inner.began_ns and inner.ended_ns <= outer.ended_ns + slack_ns


def test_a_turn_and_its_call(traced: Gateway, collector: Collector, upstream: OpenAIUpstream) -> None:
    """A turn is a server's span under which the upstream call lies, both with the attributes of the conventions."""
    before = time.time_ns()
    assert ask(traced, "desk", "conv-plain", **{"X-Request-Id": "req-plain"}).status == 200
    turn, call = collector.turn("conv-plain")
    assert (turn.name, turn.kind, turn.parent, turn.failed) == ("chat desk", "SERVER", "", False)
    assert (call.name, call.kind, call.parent, call.failed) == ("chat gpt-4.1", "CLIENT", turn.id, False)
    assert turn.trace == call.trace
    assert before - 1_000_000 <= turn.began_ns
    assert turn.ended_ns <= time.time_ns()
    assert is_within(call, turn)
    assert turn.events.keys() >= {"first_speakable"}
    assert turn.began_ns < turn.events["first_speakable"] <= turn.ended_ns
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "desk",
        "gen_ai.request.stream": True,
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "conv-plain",
        "gen_ai.response.finish_reasons": ["stop"],
        "http.response.status_code": 200,
        "glottis.request_id": "req-plain",
        "glottis.end": "completed",
        "glottis.target": "openai/gpt-4.1",
    }
    assert known.items() <= turn.attributes.items()
    assert turn.attributes["glottis.first_speakable_ms"] > 0
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "conv-plain",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.model": "gpt-4.1-2025-04-14",
        "gen_ai.usage.input_tokens": 40,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 32,
        "server.address": "127.0.0.1",
        "server.port": upstream.port,
        "glottis.outcome": "answered",
    }


def test_who_sends_the_spans(traced: Gateway, collector: Collector) -> None:
    """The resource is called glottis, and has what OTEL_RESOURCE_ATTRIBUTES adds; the collector's key comes along."""
    ask(traced, "desk", "conv-resource")
    turn, _ = collector.turn("conv-resource")
    known = {"service.name": "glottis", "deployment.environment.name": "testing", "telemetry.sdk.language": "python"}
    assert known.items() <= turn.resource.items()
    assert {recorded.headers["x-key"] for recorded in collector.requests} == {COLLECTOR_KEY}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_caller_s_own_trace_goes_on(traced: Gateway, collector: Collector, stream: bool) -> None:
    """A turn that came with a traceparent is a part of that trace."""
    conversation, trace = f"conv-parent-{stream}", f"{int(stream)}af7651916cd43dd8448eb211c80319c"
    ask(traced, "desk", conversation, stream=stream, traceparent=f"00-{trace}-b7ad6b7169203331-01")
    turn, call = collector.turn(conversation)
    assert (turn.trace, turn.parent, call.trace) == (trace, "b7ad6b7169203331", trace)


def test_a_fallback(traced: Gateway, collector: Collector) -> None:
    """Of two targets the one that failed is an error, and the turn, which was answered, is none."""
    assert ask(traced, "fallback", "conv-fallback").status == 200
    turn, *calls = collector.turn("conv-fallback", spans=len(collector_attempts(traced, "conv-fallback")) + 1)
    assert not turn.failed
    assert calls[-1].attributes["glottis.outcome"] == "answered"
    assert [call.failed for call in calls] == [True] * (len(calls) - 1) + [False]
    assert {call.attributes["error.type"] for call in calls[:-1]} == {"ProviderUnreachable"}
    assert {call.attributes["server.port"] for call in calls[:-1]} == {9}
    assert calls[0].ended_ns <= calls[-1].began_ns + 1_000_000


def collector_attempts(gateway: Gateway, conversation: str) -> list[Any]:
    """Return the attempts that the log tells of."""
    attempts: list[Any] = gateway.turns(conversation_id=conversation)[0]["attempts"]
    return attempts


def test_a_turn_that_failed(traced: Gateway, collector: Collector) -> None:
    """An error is told by its class on both spans, and never in the provider's words."""
    assert ask(traced, "function", "conv-function", stream=False).status == 502
    turn, call = collector.turn("conv-function")
    assert (turn.failed, call.failed) == (True, True)
    assert turn.attributes["error.type"] == call.attributes["error.type"] == "FunctionFailed"
    assert (turn.attributes["glottis.end"], turn.attributes["http.response.status_code"]) == ("provider_error", 502)
    assert call.kind == "INTERNAL"
    assert (turn.told, call.told) == ("", "")


def test_a_request_that_was_wrong_is_no_fault(traced: Gateway, collector: Collector) -> None:
    """A request that the provider refused is an error of the call and not of the server."""
    assert ask(traced, "refused", "conv-refused").status == 400
    turn, call = collector.turn("conv-refused")
    assert (turn.failed, call.failed) == (False, True)
    assert (turn.attributes["glottis.end"], call.attributes["http.response.status_code"]) == ("invalid_request", 400)


def test_a_caller_who_goes(traced: Gateway, collector: Collector) -> None:
    """A caller who hangs up in the middle is no error, and their turn is traced like any other."""
    extra = {"conversation_id": "conv-gone"}
    caller = begin_chat(traced, "openai/gpt-held", stream=True, elevenlabs_extra_body=extra)
    read_until(caller, ANSWERED.encode())
    caller.close()
    turn, call = collector.turn("conv-gone")
    assert (turn.failed, call.failed) == (False, False)
    assert (turn.attributes["glottis.end"], call.attributes["glottis.outcome"]) == ("caller_gone", "left")


def test_every_worker_sends(traced: Gateway, collector: Collector, upstream: OpenAIUpstream) -> None:
    """Turns of both workers arrive, over a connection each."""
    gate = threading.Event()
    upstream.answers["gpt-gated"] = gpt.text_answer(["One. ", Gate(gate), "Two."])
    before = len(upstream.requests)
    with ThreadPoolExecutor(16) as pool:
        replies = [pool.submit(ask, traced, "openai/gpt-gated", f"conv-both-{number}") for number in range(16)]
        upstream.wait_for_requests(before + 16)
        gate.set()
        assert {reply.result().status for reply in replies} == {200}
    for number in range(16):
        collector.turn(f"conv-both-{number}")
    assert collector.connections == 2


def test_nothing_that_was_said_is_sent(traced: Gateway, collector: Collector, upstream: OpenAIUpstream) -> None:
    """No span holds words of the caller, the model, the provider or a function, nor a key."""
    ask(traced, "desk", "conv-last")
    collector.turn("conv-last")
    told = b"".join(collector.bodies)
    assert b"conv-function" in told
    assert b"conv-refused" in told
    secrets = [SAID, ANSWERED, TOLD, "secret-of-the-function", KEY, upstream.key, COLLECTOR_KEY]
    assert [secret for secret in secrets if secret.encode() in told] == []
    assert COLLECTOR_KEY not in traced.output


def test_a_collector_that_refuses(upstream: OpenAIUpstream, tmp_path: Path) -> None:
    """It is told of once, with the reason; when it takes spans again the log says what was lost.

    And a server that is told to stop sends the spans of its last turns first.
    """
    with (
        Collector() as collector,
        Gateway(environment(upstream, collector.url), config=CONFIG, folder=tmp_path) as gateway,
    ):
        collector.answers[TRACES] = Answer.error(401, {})
        for number in range(2):
            ask(gateway, "desk", f"conv-refused-{number}")
            collector.wait_for_requests(number + 1)
        del collector.answers[TRACES]
        ask(gateway, "desk", "conv-taken")
        collector.turn("conv-taken")
        assert [line["turns"] for line in gateway.events("traces_lost")] == [2]
        complaints = [line["message"] for line in gateway.events("opentelemetry")]
        assert complaints == ["Failed to export spans batch code: 401, reason: Unauthorized"]
        ask(gateway, "desk", "conv-at-the-end")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(20) == 0
        collector.turn("conv-at-the-end", timeout_s=0.5)


def test_a_collector_that_does_not_answer(upstream: OpenAIUpstream, tmp_path: Path) -> None:
    """Slow or away, no turn waits for it, few lines tell of it, and the server ends in time and says what is lost."""
    with (
        Collector() as collector,
        Gateway(environment(upstream, collector.url), config=CONFIG, folder=tmp_path) as gateway,
    ):
        collector.answers[TRACES] = Answer(200, before=[Hold()])
        ask(gateway, "desk", "conv-first")
        collector.wait_for_requests(1)
        for number in range(20):
            assert ask(gateway, "desk", f"conv-slow-{number}").status == 200
        collector.close()
        gateway.events("opentelemetry")
        for number in range(20):
            assert ask(gateway, "desk", f"conv-away-{number}").status == 200
        assert [turn for turn in gateway.turns(41) if turn["total_ms"] > 2000] == []
        gateway.process.send_signal(signal.SIGTERM)
        told_at = time.monotonic()
        assert gateway.process.wait(20) == 0
        assert time.monotonic() - told_at < 12.0  # of which draining is 3; an export may take 10
    assert sum(line["turns"] for line in gateway.events("traces_lost")) == 41
    complaints = [line["message"] for line in gateway.events("opentelemetry")]
    assert "ConnectionError" in complaints[0]
    assert len(complaints) == len(set(complaints)) <= 3  # for two exports and their repetitions


def run(code: str, **env: str) -> str:
    """Run Python in a process of its own, in which the application can be loaded; what it prints."""
    environ = clean_environment() | {"ALLOW_ANONYMOUS": "true", "OPENAI_API_KEY": "sk-none"} | env
    prelude = "from gevent import monkey; monkey.patch_all()\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + code], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = """
import sys, wsgi
print("loaded", *sorted({"opentelemetry.sdk", "opentelemetry.exporter", "requests"} & set(sys.modules)))
"""


def test_nothing_is_loaded_that_is_not_used() -> None:
    """Without an endpoint the SDK takes neither memory nor time; anthropic's own loads a part of the API."""
    assert run(LOADED).splitlines()[-1] == "loaded"


FORKING = """
import os, subprocess, gevent, wsgi
from app.domain.turn import TurnRecord
desk = wsgi.app.extensions["glottis.desk"]
here = os.getpid()

def serve():
    while True:
        if os.getpid() != here:
            os.write(1, b"served in a child")
        gevent.sleep(0)

gevent.spawn(serve)
desk.observers[-1].turn_ended(TurnRecord(
    request_id="r", conversation_id=None, model="m", stream=True, end="completed", status=200, target=None,
    attempts=[], error=None, first_speakable_ms=None, total_ms=1.0, text_chars=0, tool_calls=0, finish_reason=None,
    usage=None,
))
gevent.sleep(0.01)
subprocess.run(["true"], preexec_fn=int)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
desk.observers[-1].stop()
print("traced", len(received))
"""
RECEIVING = """
import http.server, threading
received = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
import gevent, os
gevent.spawn(server.serve_forever)
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
"""


def test_a_process_that_a_function_starts_serves_nobody() -> None:
    """A child process, as a user's own function may begin one, runs none of the server's greenlets.

    And with an endpoint everything is loaded before the first turn.
    """
    loaded, traced = run(RECEIVING + LOADED + FORKING).splitlines()[-2:]
    assert (loaded, traced) == ("loaded opentelemetry.exporter opentelemetry.sdk requests", "traced 1")

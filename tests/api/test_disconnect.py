"""A caller who hangs up: the upstream call ends within 100 ms, in every phase of a turn, and nothing is left over."""

import statistics
import time
from collections.abc import Callable

import pytest
from api.client import begin_chat, chat, read_until
from gateway import Gateway
from upstreams import Answer, AnthropicUpstream, Hold, OpenAIUpstream, Upstream
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

HANG_UPS = 15
LIMIT_S = 0.1
SLACK_S = 1.0
"""What a single hang-up may take on a machine that is busy with something else."""

PHASES: dict[tuple[str, str], Callable[[], Answer]] = {
    ("before headers", "gpt"): Answer.silent,
    ("before headers", "claude"): Answer.silent,
    ("before the first token", "gpt"): lambda: openai_script.text_answer([Hold()]),
    ("before the first token", "claude"): lambda: anthropic_script.text_answer([Hold()]),
    ("mid-stream", "gpt"): lambda: openai_script.text_answer(["One ", Hold()]),
    ("mid-stream", "claude"): lambda: anthropic_script.text_answer(["One ", Hold()]),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("phase", "family"), PHASES)
def test_hanging_up_ends_the_upstream_call(
    gateway: Gateway,
    openai_upstream: OpenAIUpstream,
    anthropic_upstream: AnthropicUpstream,
    phase: str,
    family: str,
    stream: bool,
) -> None:
    """From the closing of the caller's connection to that of the upstream's it takes at most 100 ms."""
    upstream: Upstream = openai_upstream if family == "gpt" else anthropic_upstream
    model = f"{family}-hang-up"
    upstream.answers[model] = PHASES[phase, family]()
    took_s = []
    for _ in range(HANG_UPS):
        seen = len(upstream.requests)
        sock = begin_chat(gateway, model, stream=stream)
        recorded = upstream.wait_for_requests(seen + 1)[seen]
        if phase == "mid-stream" and stream:
            read_until(sock, b"One ")
        closed_at = time.monotonic()
        sock.close()
        assert recorded.client_gone.wait(5)
        assert recorded.client_gone_at is not None
        took_s.append(recorded.client_gone_at - closed_at)
    assert statistics.median(took_s) < LIMIT_S, took_s
    assert max(took_s) < SLACK_S, took_s
    upstream.wait_until_idle()
    lines = gateway.turns(HANG_UPS, model=model, end="caller_gone", stream=stream)
    assert lines[-1]["status"] == (200 if phase == "mid-stream" and stream else 499)


def test_a_function_is_ended_too(gateway: Gateway) -> None:
    """A user's own generator that waits for something is left at once."""
    before = len([line for line in gateway.lines if isinstance(line, dict) and line.get("model") == "function-forever"])
    sock = begin_chat(gateway, "function-forever", stream=True)
    read_until(sock, b"wait")
    sock.close()
    lines = gateway.turns(before + 1, model="function-forever", end="caller_gone")
    assert lines[-1]["total_ms"] < 60_000


def test_a_pipelined_request_is_no_disconnect(gateway: Gateway) -> None:
    """Bytes that come while a turn runs are the next request, not a hang-up: both are answered."""
    sock = begin_chat(gateway, "gpt-4.1", stream=True)
    sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = read_until(sock, b'"version"')
    assert b"[DONE]" in data
    sock.close()


def test_hanging_up_after_a_pipelined_byte(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """Bytes of a next request do not hide that the caller has gone."""
    openai_upstream.answers["gpt-pipelined"] = openai_script.text_answer(["One ", Hold()])
    seen = len(openai_upstream.requests)
    sock = begin_chat(gateway, "gpt-pipelined", stream=True)
    recorded = openai_upstream.wait_for_requests(seen + 1)[seen]
    read_until(sock, b"One ")
    sock.sendall(b"GET /health HTTP/1.1\r\n")
    closed_at = time.monotonic()
    sock.close()
    assert recorded.client_gone.wait(5)
    assert recorded.client_gone_at is not None
    assert recorded.client_gone_at - closed_at < SLACK_S


def test_the_worker_serves_on_after_hang_ups(gateway: Gateway) -> None:
    """Hanging up leaves nothing behind that the next caller would notice, and no traceback in the log."""
    assert chat(gateway, "gpt-4.1", stream=True).text == "You said: hello"
    assert "Traceback" not in gateway.output

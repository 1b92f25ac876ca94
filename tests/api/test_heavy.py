"""Bodies made to be hard to look at: each is answered or refused, and none costs the worker more than a moment.

Each of these once took seconds, up to 27, in which no other caller of the worker heard a word.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api.client import JSON, request
from gateway import Gateway
from upstreams import AnthropicUpstream
from upstreams import anthropic as claude

from app.api.body import MOST_CONTAINERS, MOST_VALUES, SMALL_BYTES, is_too_dense

MOST_S = 1.0
"""Of the worker's CPU: ten times what any of them takes, a tenth of what the worst took."""

HELLO = {"role": "user", "content": "x"}
REFERENCES = [{"$ref": "#/d"}] * 199


def call(number: object = "a", arguments: str = "{}") -> dict[str, Any]:
    """Make a tool call of the history."""
    return {"id": str(number), "function": {"name": "a", "arguments": arguments}}


def calls(*made: dict[str, Any]) -> dict[str, Any]:
    """Make a message with tool calls."""
    return {"role": "assistant", "tool_calls": list(made)}


def turn(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Make a request."""
    return {"model": "claude-heavy", "messages": [HELLO, *messages], **fields}


def tool(definition: dict[str, Any]) -> dict[str, Any]:
    """Make a request with a tool whose parameters refer to one definition again and again."""
    parameters = {"allOf": REFERENCES, "d": definition}
    return turn(tools=[{"function": {"name": "a", "parameters": parameters}}])


def numbered(count: int, value: object) -> dict[str, object]:
    """Return so many names with a value."""
    return dict.fromkeys(map(str, range(count)), value)


BODIES: dict[str, Callable[[], Any]] = {
    "results for many calls": lambda: turn(
        calls(*map(call, range(3000))), *[{"role": "tool", "tool_call_id": str(number)} for number in range(3000)]
    ),
    "calls of one id": lambda: turn(*[calls(call())] * 2400),
    "assistants who say nothing": lambda: turn(*[HELLO, {"role": "assistant"}] * 4900),
    "lists in arguments": lambda: turn(calls(call(arguments=json.dumps([[]] * 900_000)))),
    "modalities": lambda: turn(modalities=[1] * 95_000),
    "logit_bias": lambda: turn(logit_bias=numbered(95_000, 0)),
    "long pointers": lambda: tool({"$ref": "#" + "/" * 3_900_000}),
    "properties by reference": lambda: tool({"properties": numbered(90_000, 1)}),
    "demands by reference": lambda: tool({"required": list(numbered(90_000, 1))}),
    "long numbers": lambda: [int("1" * 4000)] * 1000,
}
DENSE: dict[str, Callable[[], Any]] = {
    "messages": lambda: turn(*[HELLO] * MOST_CONTAINERS),
    "lists": lambda: [[]] * 1_000_000,
    "values": lambda: [1] * (MOST_VALUES + 2),
    "strings": lambda: [""] * (MOST_VALUES + 2),
}


def worker_cpu_s(gateway: Gateway) -> float:
    """Return what the gateway's worker has used so far."""
    children = subprocess.run(["pgrep", "-P", str(gateway.process.pid)], capture_output=True, text=True).stdout.split()
    stats = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("case", [*BODIES, *DENSE])
def test_it_takes_a_moment(gateway: Gateway, anthropic_upstream: AnthropicUpstream, case: str) -> None:
    """The worker is free again in a moment, whatever the answer is."""
    anthropic_upstream.answers["claude-heavy"] = claude.text_answer(["Yes."])
    body = json.dumps((BODIES | DENSE)[case]())
    assert len(body) < 4 * 1024 * 1024
    before_s = worker_cpu_s(gateway)
    reply = request(gateway, "POST", "/v1/chat/completions", body, JSON)
    assert worker_cpu_s(gateway) - before_s < MOST_S
    assert reply.status == 413 if case in DENSE else reply.status != 413
    assert len(reply.body) < 2000


def test_words_are_not_counted() -> None:
    """What stands in strings is text, however many brackets and commas it has, and escaped quotes do not end it."""
    text = json.dumps(json.dumps([{"a": '"'}] * 20_000)).encode()
    assert len(text) > SMALL_BYTES
    assert not is_too_dense(b'{"content": %b}' % text)
    assert is_too_dense(b'{"content": %b, "x": [%b]}' % (text, b",".join([b"[]"] * MOST_CONTAINERS)))


def test_a_small_body_is_not_counted() -> None:
    """The usual body costs nothing to look at."""
    assert not is_too_dense(b"[" * SMALL_BYTES)
    assert is_too_dense(b"[" * (SMALL_BYTES + 1))


def test_ids_and_paths_have_an_end(gateway: Gateway) -> None:
    """A conversation's id and a field's name of a caller's own do not fill the log or the answer."""
    extra = {"conversation_id": "c" * 1_000_000}
    body = {"model": "nobody", "messages": [{"role": "user", "content": "x"}], "elevenlabs_extra_body": extra}
    request(gateway, "POST", "/v1/chat/completions", json.dumps(body), JSON | {"X-Request-Id": "long-1"})
    assert gateway.turns(request_id="long-1")[0]["conversation_id"] == "c" * 256
    reply = request(gateway, "POST", "/v1/chat/completions", json.dumps(body | {"logit_bias": {"k" * 9000: ""}}), JSON)
    assert reply.status == 400
    assert len(reply.json["error"]["param"]) == 200

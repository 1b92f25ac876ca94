"""Every case of docs/anthropic.md through the real gateway in front of a strict Anthropic, streamed and not."""

import time
from typing import Any

import pytest
from api.client import Reply, chat
from gateway import Gateway
from providers.anthropic.cases import CASES, Case, Failure
from providers.anthropic.cases.case import ABSENT, JSON
from upstreams import AnthropicUpstream

OF_REQUESTS = set(range(1, 29))
OF_ANSWERS = {8, 13, 16, 25, *range(29, 36)}
"""The cases that say something of each direction."""


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(
    gateway: Gateway,
    anthropic_upstream: AnthropicUpstream,
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
    stream: bool,
) -> None:
    """Anthropic receives what the row says and takes it at the first attempt; the caller hears what the row says."""
    # A snapshot of the model for each case: what others learned of a model, or scripted for it, is not known of this.
    model = case.model if case.route else f"{case.model}-{20_260_000 + case.number}"
    if case.script is not None:
        monkeypatch.setitem(anthropic_upstream.answers, model, case.script)
    seen, asked_at = len(anthropic_upstream.requests), int(time.time())
    options: JSON = {"stream": True, "stream_options": {"include_usage": True}} if stream else {"stream": False}
    reply = chat(gateway, case.route or model, **case.sends, **options)

    asked = [each for each in anthropic_upstream.requests[seen:] if each.route == "POST /v1/messages"]
    bodies = [each.json for each in asked if each.model == model]
    assert bodies if case.attempts is None else len(bodies) == case.attempts, reply.body
    for body in bodies:
        assert {name: body.get(name, ABSENT) for name in case.arrives} == case.arrives
        assert case.holds is None or case.holds(body), body
    if case.fails is not None:
        assert_failed(reply, case.fails, stream=stream)
        return
    assert reply.status == 200, reply.body
    assert not stream or reply.events[-1] == "[DONE]", reply.body
    whole = heard(reply, asked_at, stream=stream)
    assert whole["finish_reason"] is not None
    assert {name: whole[name] for name in case.hears} == case.hears


def assert_failed(reply: Reply, failure: Failure, *, stream: bool) -> None:
    """Hold an error against the row: with its status, or as the last event of a stream that had begun."""
    if stream and failure.after is not None:
        assert reply.status == 200
        *chunks, last = reply.events
        assert "[DONE]" not in chunks
        error = last["error"]
        before = folded(chunks)
        assert before["finish_reason"] is None
        assert {name: before[name] for name in failure.after} == failure.after
    else:
        assert reply.status == failure.status, reply.body
        assert reply.headers.get("retry-after") == failure.retry_after
        error = reply.json["error"]
    assert (error["code"], error["param"]) == (failure.code, failure.param)


def heard(reply: Reply, asked_at: int, *, stream: bool) -> JSON:
    """Return what the caller has in the end, in the same words whether it was streamed or not."""
    chunks = [each for each in reply.events if each != "[DONE]"] if stream else [as_chunk(reply.json)]
    created = {chunk["created"] for chunk in chunks}
    return {
        **folded(chunks),
        "usage": chunks[-1]["usage"],
        "ids": len({chunk["id"] for chunk in chunks}),
        "times": len(created),
        "on_time": all(asked_at <= each <= time.time() for each in created),
    }


def as_chunk(answer: JSON) -> JSON:
    """Return an answer that was not streamed as the one chunk of a stream."""
    [choice] = answer["choices"]
    calls = [{"index": index, **call} for index, call in enumerate(choice["message"].get("tool_calls", []))]
    return {**answer, "choices": [{**choice, "delta": {**choice["message"], "tool_calls": calls}}]}


def folded(chunks: list[JSON]) -> JSON:
    """Return what the chunks come to."""
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert len(finishes) <= 1
    return {
        "content": "".join(delta.get("content") or "" for delta in deltas),
        "reasoning": "".join(delta.get("reasoning_content") or "" for delta in deltas),
        "tool_calls": joined([piece for delta in deltas for piece in delta.get("tool_calls", [])]),
        "finish_reason": finishes[0] if finishes else None,
        "roles": [delta["role"] for delta in deltas if "role" in delta],
    }


def joined(pieces: list[JSON]) -> list[JSON]:
    """Return the calls that pieces make up: each call's first piece has its id, and an index one above the last's."""
    calls: list[dict[str, Any]] = []
    for piece in pieces:
        if "id" in piece:
            assert piece["index"] == len(calls)
            calls.append({"id": piece["id"], "name": piece["function"]["name"], "arguments": ""})
        calls[piece["index"]]["arguments"] += piece["function"]["arguments"]
    return calls


def test_every_case_is_in_the_table() -> None:
    """The 35 cases all have a row, in each direction that they say something of."""
    assert {case.number for case in CASES} == set(range(1, 36))
    assert {case.number for case in CASES if case.arrives or case.holds} == OF_REQUESTS
    assert {case.number for case in CASES if case.script and (case.hears or case.fails)} == OF_ANSWERS


def test_every_row_promises_something_of_its_own() -> None:
    """No row is there twice, and none would be kept whatever happened."""
    assert len({str(case) for case in CASES}) == len(CASES)
    assert all(case.arrives or case.holds or case.hears or case.fails for case in CASES)

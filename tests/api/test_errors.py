"""Errors over real HTTP: always OpenAI's JSON, the right status, and nothing of the inside."""

import json
from typing import Any

import pytest
from api.client import JSON, Reply, chat, request
from gateway import KEY, Gateway
from upstreams import Answer, AnthropicUpstream, Cut, OpenAIUpstream
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

HELLO = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}


def assert_error(reply: Reply, status: int, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Hold an answer against OpenAI's shape of an error."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    error: dict[str, Any] = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert (error["code"], error["param"]) == (code, param)
    return error


BAD_REQUESTS = {
    "not JSON": ("{", JSON, 400, "invalid_json", None),
    "empty": ("", JSON, 400, "invalid_json", None),
    "not an object": ("[]", JSON, 400, None, None),
    "NaN": ('{"model": "m", "messages": [], "temperature": NaN}', JSON, 400, "invalid_json", None),
    "wrong content type": (
        json.dumps(HELLO),
        JSON | {"Content-Type": "text/plain"},
        415,
        "unsupported_media_type",
        None,
    ),
    "no model": ('{"messages": [{"role": "user", "content": "x"}]}', JSON, 400, None, "model"),
    "no messages": ('{"model": "m"}', JSON, 400, None, "messages"),
    "temperature": (json.dumps(HELLO | {"temperature": 3}), JSON, 400, None, "temperature"),
    "two choices": (json.dumps(HELLO | {"n": 2}), JSON, 400, None, "n"),
    "role": ('{"model": "m", "messages": [{"role": "robot", "content": "x"}]}', JSON, 400, None, "messages[0].role"),
    "too large": (json.dumps(HELLO | {"user": "x" * 5_000_000}), JSON, 413, "request_too_large", None),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_told_what_is_wrong(gateway: Gateway, case: str) -> None:
    """Malformed, wrong or too large: a 4xx that names the field."""
    body, headers, status, code, param = BAD_REQUESTS[case]
    assert_error(request(gateway, "POST", "/v1/chat/completions", body, headers), status, code, param)


def test_a_wrong_path_and_a_wrong_method_are_errors_in_json(gateway: Gateway) -> None:
    """Nothing that werkzeug answers by itself is HTML."""
    assert_error(request(gateway, "POST", "/v1/completions", "{}"), 404, "unknown_url")
    reply = request(gateway, "GET", "/v1/chat/completions")
    assert_error(reply, 405, "method_not_allowed")
    assert "POST" in reply.headers["allow"]


def test_an_unknown_model_is_not_found_at_the_provider(gateway: Gateway) -> None:
    """A provider that does not have the model makes it a 404 model_not_found."""
    assert_error(chat(gateway, "no-such-model"), 404, "model_not_found")


KEYS = [
    {"Authorization": f"Bearer {KEY}"},
    {"Authorization": f"bearer {KEY}"},
    {"X-Custom-Auth": KEY},
    {"X-API-Key": KEY},
    {"Authorization": "Bearer something-else", "X-API-Key": KEY},
]
NO_KEYS: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer wrong"},
    {"X-API-Key": ""},
    {"Authorization": f"Basic {KEY}"},
    {"X-Custom-Auth": KEY[:-1]},
    {"X-API-Key": "schlüssel"},
]


@pytest.mark.parametrize("headers", KEYS)
def test_a_key_may_come_in_any_of_three_headers(gateway: Gateway, headers: dict[str, str]) -> None:
    """Bearer, X-Custom-Auth and X-API-Key are the same."""
    reply = request(
        gateway, "POST", "/v1/chat/completions", json.dumps(HELLO), {"Content-Type": "application/json"} | headers
    )
    assert reply.status == 200
    assert request(gateway, "GET", "/v1/models", None, headers).status == 200


@pytest.mark.parametrize("headers", NO_KEYS)
def test_without_a_good_key_nothing_is_served(gateway: Gateway, headers: dict[str, str]) -> None:
    """Chat and models answer 401; health needs no key."""
    encoded = {name: value.encode("utf-8").decode("latin-1") for name, value in headers.items()}
    for method, path, body in (("POST", "/v1/chat/completions", json.dumps(HELLO)), ("GET", "/v1/models", None)):
        reply = request(gateway, method, path, body, {"Content-Type": "application/json"} | encoded)
        assert_error(reply, 401, "invalid_api_key")
    assert request(gateway, "GET", "/health", None, {}).json["status"] == "healthy"
    assert request(gateway, "GET", "/health/ready", None, {}).status == 200


UPSTREAM = {
    400: (400, "oh_no"),
    401: (502, "provider_key_refused"),
    402: (502, "provider_key_refused"),
    403: (502, "provider_key_refused"),
    404: (404, "model_not_found"),
    408: (504, "provider_timeout"),
    413: (413, "request_too_large"),
    422: (400, "oh_no"),
    429: (429, "rate_limit_exceeded"),
    500: (502, "provider_error"),
    502: (502, "provider_error"),
    503: (503, "provider_overloaded"),
    529: (503, "provider_overloaded"),
}
SECRET = "sk-proj-abcdefghijklmnop"
WORDS = f"Bad thing at https://api.example.com/v1 with {SECRET}"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", UPSTREAM)
def test_a_providers_error_is_passed_on_without_its_inside(
    gateway: Gateway,
    openai_upstream: OpenAIUpstream,
    anthropic_upstream: AnthropicUpstream,
    status: int,
    stream: bool,
) -> None:
    """The status is ours to give: a provider's 401 is our 502; Retry-After goes on; no key and no address shows."""
    headers = {"Retry-After": "7"}
    model, other = f"gpt-error-{status}", f"claude-error-{status}"
    openai_upstream.answers[model] = openai_script.error(status, WORDS, code="oh_no", headers=headers)
    anthropic_upstream.answers[other] = anthropic_script.error(status, WORDS, headers=headers)
    expected, code = UPSTREAM[status]
    for name, wanted in ((model, code), (other, None if code == "oh_no" else code)):
        reply = chat(gateway, name, stream=stream)
        assert_error(reply, expected, wanted)
        assert reply.headers["retry-after"] == "7"
        assert SECRET.encode() not in reply.body
        assert b"example.com" not in reply.body
    assert SECRET not in gateway.output


def test_a_provider_that_cannot_be_reached_is_a_502(gateway: Gateway) -> None:
    """A refused connection is told as such, before the stream begins."""
    assert_error(chat(gateway, "unreachable", stream=True), 502, "provider_unreachable")


def test_a_provider_without_a_key_is_a_503(gateway: Gateway) -> None:
    """A provider that is not configured says so; what is missing stands in the log alone."""
    reply = chat(gateway, "unconfigured", headers={"X-Request-Id": "unconfigured-1"})
    assert_error(reply, 503, "provider_not_configured")
    assert b"UNKEYED_KEY" not in reply.body
    assert "UNKEYED_KEY is not set" in gateway.turns(request_id="unconfigured-1")[0]["error"]


def test_a_silent_provider_is_a_504(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """A provider that says nothing is given up after idle_s."""
    openai_upstream.answers["gpt-silent"] = Answer.silent()
    assert_error(chat(gateway, "gpt-silent", stream=True), 504, "provider_timeout")


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_cut_is_never_passed_off_as_whole(
    gateway: Gateway, openai_upstream: OpenAIUpstream, anthropic_upstream: AnthropicUpstream, stream: bool
) -> None:
    """Streamed, the words come, then an error and no [DONE]; not streamed, the answer is an error."""
    openai_upstream.answers["gpt-cut"] = openai_script.text_answer(["One ", "two ", Cut()])
    anthropic_upstream.answers["claude-cut"] = anthropic_script.text_answer(["One ", "two ", Cut()])
    for model in ("gpt-cut", "claude-cut"):
        reply = chat(gateway, model, stream=stream)
        if not stream:
            assert_error(reply, 502, "provider_broken")
            continue
        assert reply.status == 200
        assert reply.events[-1]["error"]["code"] == "provider_broken"
        deltas = [event["choices"][0]["delta"] for event in reply.events[:-1]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "One two "


def test_a_function_that_fails_is_told_without_its_words(gateway: Gateway) -> None:
    """What a user's function raises is named in the log by its class and line; its message stays inside."""
    reply = chat(gateway, "function-failing", stream=True)
    assert reply.events[-1]["error"]["code"] == "function_failed"
    assert_error(chat(gateway, "function-failing"), 502, "function_failed")
    assert_error(chat(gateway, "function-odd"), 502, "function_failed")
    assert_error(chat(gateway, "function-half"), 502, "function_failed")
    assert_error(chat(gateway, "function-half", stream=True), 502, "function_failed")
    gateway.wait_for("my_agent.py:")
    assert "secret-of-the-function" not in gateway.output


def test_what_was_said_is_not_logged(gateway: Gateway) -> None:
    """Neither a caller's words nor the model's nor a key are ever in the log."""
    said = "my number is 0049-171-5550199"
    chat(gateway, "gpt-4.1", messages=[{"role": "user", "content": said}], headers={"X-Request-Id": "said-1"})
    request(gateway, "POST", "/v1/chat/completions", json.dumps(HELLO | {"temperature": said}))
    gateway.turns(request_id="said-1")
    assert said not in gateway.output
    assert KEY not in gateway.output

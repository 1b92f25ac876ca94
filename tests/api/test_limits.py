"""Limits over real HTTP, in memory and in Valkey: who is refused, what they are told, and that nothing is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.client import JSON, Reply, begin_chat, chat, read_until, request
from gateway import KEY, Gateway
from openai import OpenAI, RateLimitError
from valkeys import RealValkey

OTHER_KEY = "other-key-0123456789"

ENV = {"OPENAI_API_KEY": "sk-unused", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "STORE_TIMEOUT_S": "10"}
"""Functions answer; with a provider configured the embedded model is not started. A busy machine is no dead store."""

CONFIG = """
[routes.free]
target = "function:my_agent:answer"

[routes.few]
target = "function:my_agent:answer"
limits = { requests_per_minute = 2 }

[routes.shared]
target = "function:my_agent:answer"
limits = { requests_per_minute = 2 }

[routes.kept]
target = "function:my_agent:answer"
limits = { requests_per_minute = 2 }

[routes.small]
target = "function:my_agent:answer"
limits = { tokens_per_minute = 5 }

[routes.both]
target = "function:my_agent:answer"
limits = { requests_per_minute = 1, tokens_per_minute = 5 }

[routes.failing]
target = "function:my_agent:odd"

[routes.unreachable]
target = "openai/gpt-4.1"

[routes.long]
target = "function:my_agent:forever"
"""


@pytest.fixture(scope="module", params=["memory", "valkey"])
def limited(
    request: pytest.FixtureRequest, shared_valkey: RealValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """Glottis with one turn at once for a key, a hundred requests, and less on some routes."""
    env = ENV | {"API_KEYS": f"tester:{KEY},other:{OTHER_KEY}", "LIMIT_TURNS_AT_ONCE": "1"}
    env["LIMIT_REQUESTS_PER_MINUTE"] = "100"
    if request.param == "valkey":
        shared_valkey.client().flushall()
        env["VALKEY_URL"] = shared_valkey.url
    with Gateway(env, config=CONFIG, folder=tmp_path_factory.mktemp("limited")) as running:
        yield running


def limits_told(reply: Reply) -> dict[str, str]:
    """Return the headers that tell of limits, without what all of them begin with."""
    prefix = "x-ratelimit-"
    return {name.removeprefix(prefix): value for name, value in reply.headers.items() if name.startswith(prefix)}


def refused(reply: Reply) -> dict[str, Any]:
    """Hold a refusal against OpenAI's shape."""
    assert reply.status == 429, reply.body
    error: dict[str, Any] = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == ("rate_limit_exceeded", None)
    assert int(reply.headers["retry-after"]) > 0
    return error


def test_so_many_requests_and_no_more(limited: Gateway) -> None:
    """Each answer tells what is left; the one too many is 429 in OpenAI's shape, and says when to come again."""
    replies = [chat(limited, "few", stream=stream) for stream in (True, False)]
    assert [reply.status for reply in replies] == [200, 200]
    assert [limits_told(reply)["remaining-requests"] for reply in replies] == ["1", "0"]
    reply = chat(limited, "few", stream=True)
    error = refused(reply)
    assert error["type"] == "requests"
    assert error["message"].startswith("Rate limit reached for requests per minute: limit 2. Please try again in ")
    told = limits_told(reply)
    assert set(told) == {"limit-requests", "remaining-requests", "reset-requests"}
    assert (told["limit-requests"], told["remaining-requests"]) == ("2", "0")
    assert told["reset-requests"] == "1m0s"
    assert 0 < int(reply.headers["retry-after"]) <= 61
    (line,) = limited.turns(end="limit", model="few", key="tester")
    assert line["status"] == 429


def test_limits_are_a_keys_own(limited: Gateway) -> None:
    """Another key has its own count, on the same route."""
    for _ in range(2):
        chat(limited, "kept")
    refused(chat(limited, "kept"))
    assert chat(limited, "kept", headers={"Authorization": f"Bearer {OTHER_KEY}"}).status == 200


def test_openais_client_knows_the_error(limited: Gateway) -> None:
    """It raises its own RateLimitError, with the headers at hand."""
    client = OpenAI(base_url=f"{limited.url}/v1", api_key=OTHER_KEY, max_retries=0)
    for _ in range(2):
        client.chat.completions.create(model="few", messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(RateLimitError) as caught:
        client.chat.completions.create(model="few", messages=[{"role": "user", "content": "hello"}])
    assert caught.value.type == "requests"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_copies_of_a_turn_are_requests(limited: Gateway) -> None:
    """Those that share an answer count like others."""
    same = {"headers": {"X-Conversation-Id": "call-1"}}
    assert [chat(limited, "shared", **same).status for _ in range(3)] == [200, 200, 429]


def test_tokens_count_by_what_was_used(limited: Gateway) -> None:
    """The turn that goes past the limit is answered; the next one is refused."""
    first = chat(limited, "small")
    assert first.status == 200
    assert first.json["usage"]["total_tokens"] >= 5
    assert limits_told(first)["remaining-tokens"] == "5"
    limited.turns(model="small", end="completed")  # whose tokens count as soon as it is over
    reply = until(lambda: chat(limited, "small"), 429)
    assert refused(reply)["type"] == "tokens"
    assert limits_told(reply)["remaining-tokens"] == "0"


def test_both_limits_are_told(limited: Gateway) -> None:
    """Six headers, as OpenAI sends them; of the key's limits and the route's the narrower."""
    told = limits_told(chat(limited, "both"))
    assert set(told) == {f"{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}
    assert (told["limit-requests"], told["remaining-requests"]) == ("1", "0")
    assert (told["limit-tokens"], told["reset-tokens"]) == ("5", "0ms")


def until(ask: Any, status: int) -> Reply:
    """Ask until the answer has this status."""
    for _ in range(50):
        if (reply := ask()).status == status:
            return reply
    raise AssertionError(f"never {status}")


def test_one_turn_at_once(limited: Gateway) -> None:
    """While a turn runs another of the key is refused, on whatever route; when its caller hangs up there is room."""
    with begin_chat(limited, "long", stream=True) as sock:
        read_until(sock, b"wait")
        error = refused(chat(limited, "free"))
        assert error["type"] == "requests"
        assert "turns at once: limit 1" in error["message"]
        assert chat(limited, "free", headers={"Authorization": f"Bearer {OTHER_KEY}"}).status == 200
    assert chat(limited, "free").status == 200


ENDINGS: dict[str, dict[str, Any]] = {
    "streamed": {"model": "free", "stream": True},
    "whole": {"model": "free"},
    "failed": {"model": "failing"},
    "failed stream": {"model": "failing", "stream": True},
    "unreachable": {"model": "unreachable"},
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_a_turn_ends_its_place_is_free(limited: Gateway, ending: str) -> None:
    """Answered, failed or refused: the next one is let in."""
    assert chat(limited, **ENDINGS[ending]).status != 429
    assert chat(limited, "free").status == 200


def test_what_is_no_turn_has_no_limit(limited: Gateway) -> None:
    """Health, models and bad requests neither count nor are told of limits."""
    assert limits_told(request(limited, "GET", "/v1/models")) == {}
    assert limits_told(request(limited, "POST", "/v1/chat/completions", "{", JSON)) == {}


def forwarded(gateway: Gateway, addresses: str) -> int:
    """Ask without a key, as if through proxies; return the status."""
    body = json.dumps({"model": "free", "messages": [{"role": "user", "content": "hello"}]})
    headers = {"Content-Type": "application/json", "X-Forwarded-For": addresses}
    return request(gateway, "POST", "/v1/chat/completions", body, headers).status


ANONYMOUS = ENV | {"API_KEYS": "", "ALLOW_ANONYMOUS": "true", "LIMIT_REQUESTS_PER_MINUTE": "1"}


def test_anonymous_callers_are_counted_by_address(tmp_path: Path) -> None:
    """Behind a trusted proxy each address has its own count, which nothing that the caller writes can change."""
    with Gateway(ANONYMOUS | {"TRUSTED_HOPS": "1"}, config=CONFIG, folder=tmp_path) as gateway:
        assert [forwarded(gateway, "198.51.100.7") for _ in range(2)] == [200, 429]
        assert forwarded(gateway, "203.0.113.99, 198.51.100.7") == 429
        assert forwarded(gateway, "198.51.100.8") == 200
        # One network of IPv6 is one caller.
        assert [forwarded(gateway, f"2001:db8:1:2::{host}") for host in (1, 2)] == [200, 429]
        assert forwarded(gateway, "2001:db8:1:3::1") == 200


def test_no_proxy_is_trusted_unless_it_is_said(tmp_path: Path) -> None:
    """Without TRUSTED_HOPS the address is that of the connection."""
    with Gateway(ANONYMOUS, config=CONFIG, folder=tmp_path) as gateway:
        assert [forwarded(gateway, f"198.51.100.{host}") for host in (1, 2)] == [200, 429]


@pytest.fixture
def store_env(own_valkey: RealValkey) -> dict[str, str]:
    """A limit of one request, in a store that can be killed."""
    return ENV | {"VALKEY_URL": own_valkey.url, "LIMIT_REQUESTS_PER_MINUTE": "1", "LIMIT_TURNS_AT_ONCE": "1"}


def ready(gateway: Gateway) -> tuple[int, str, str]:
    """Return what the readiness says of the store."""
    reply = request(gateway, "GET", "/health/ready")
    return reply.status, reply.json["status"], reply.json["store"]


def test_calls_go_on_without_the_store(own_valkey: RealValkey, store_env: dict[str, str], tmp_path: Path) -> None:
    """It is told once, readiness says degraded, and every turn is answered."""
    with Gateway(store_env, config=CONFIG, folder=tmp_path) as gateway:
        assert ready(gateway) == (200, "ready", "up")
        assert [chat(gateway, "free").status for _ in range(2)] == [200, 429]
        own_valkey.kill()
        assert [chat(gateway, "free").status for _ in range(5)] == [200] * 5
        assert ready(gateway) == (200, "degraded", "down")
        assert len(gateway.events("store_down")) == 1
        own_valkey.start()
        gateway.events("store_up", timeout_s=10)
        assert ready(gateway) == (200, "ready", "up")
        assert [chat(gateway, "free").status for _ in range(2)] == [200, 429]


def test_fail_closed(own_valkey: RealValkey, store_env: dict[str, str], tmp_path: Path) -> None:
    """Where the operator says so, a store that is down lets nobody in, and the readiness says so."""
    with Gateway(store_env | {"STORE_FAIL_CLOSED": "true"}, config=CONFIG, folder=tmp_path) as gateway:
        own_valkey.kill()
        reply = chat(gateway, "free")
        assert (reply.status, reply.json["error"]["code"]) == (503, "store_unavailable")
        assert ready(gateway) == (503, "not_ready", "down")

"""The headers of every answer: what browsers and caches are told, other origins' pages, and nothing of versions."""

import json
import re
import socket
from collections.abc import Iterator, Mapping

import pytest
from api.client import JSON, Reply, chat, request
from gateway import KEY, Gateway
from upstreams import OpenAIUpstream

ALWAYS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
PAGE = "https://app.example.com"
HELLO = json.dumps({"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]})


def holds(headers: Mapping[str, str]) -> None:
    """Hold an answer's headers against those of every answer."""
    assert ALWAYS.items() <= headers.items()
    assert re.search(r"\d", headers.get("server", "")) is None


def test_every_answer_of_the_application(gateway: Gateway) -> None:
    """Streams, whole answers, errors and the public views alike."""
    replies = [chat(gateway, "gpt-4.1", stream=stream) for stream in (True, False)]
    replies += [request(gateway, "GET", path, None, JSON) for path in ("/health", "/v1/models", "/openapi.json", "/no")]
    replies += [request(gateway, "POST", "/v1/chat/completions", "{", headers) for headers in (JSON, {})]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 200, 404, 400, 401]
    for reply in replies:
        holds(reply.headers)
        assert "strict-transport-security" not in reply.headers


@pytest.mark.parametrize("wire", [b"\x16\x03\x01\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"])
def test_every_answer_of_the_worker(gateway: Gateway, wire: bytes) -> None:
    """What is no HTTP is answered with them too."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(wire)
        head = b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")[0].decode()
    holds({name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])})


@pytest.fixture(scope="module")
def open_to_pages(openai_upstream: OpenAIUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Glottis for pages of one origin, behind TLS."""
    env = {"CORS_ORIGINS": f"{PAGE},http://localhost:3000", "HSTS_S": "31536000"}
    env |= {"OPENAI_API_KEY": openai_upstream.key, "OPENAI_BASE_URL": openai_upstream.base_url}
    with Gateway(env) as running:
        yield running


def from_page(gateway: Gateway, method: str, path: str, headers: Mapping[str, str], origin: str = PAGE) -> Reply:
    """Send what a browser sends for a page of an origin."""
    body = HELLO if method == "POST" else None
    return request(gateway, method, path, body, {"Origin": origin, **headers})


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


def test_a_page_may_call(open_to_pages: Gateway) -> None:
    """The browser asks first, without a key, and is told what the page may send; then the page reads its answer."""
    asked = from_page(open_to_pages, "OPTIONS", "/v1/chat/completions", PREFLIGHT)
    assert (asked.status, asked.body) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "POST" in asked.headers["access-control-allow-methods"].split(", ")
    assert asked.headers["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
    answer = from_page(open_to_pages, "POST", "/v1/chat/completions", JSON)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    for reply in (asked, answer):
        holds(reply.headers)
        assert "Origin" in reply.headers["vary"]
        assert "access-control-allow-credentials" not in reply.headers
        assert reply.headers["strict-transport-security"] == "max-age=31536000"


def test_a_page_reads_errors_too(open_to_pages: Gateway) -> None:
    """Without a key, or at a path that is not there, the page is told what is wrong."""
    for path, status in (("/v1/chat/completions", 401), ("/nowhere", 404)):
        reply = from_page(open_to_pages, "POST", path, {"Content-Type": "application/json"})
        assert reply.status == status
        assert reply.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example", f"{PAGE}.evil.example", "null", PAGE.upper()])
def test_a_page_of_elsewhere_may_not(open_to_pages: Gateway, origin: str) -> None:
    """An origin that is not named gets no leave, and its preflight meets the door that everybody meets."""
    asked = from_page(open_to_pages, "OPTIONS", "/v1/chat/completions", PREFLIGHT, origin)
    answer = from_page(open_to_pages, "POST", "/v1/chat/completions", JSON, origin)
    assert (asked.status, answer.status) == (401, 200)
    for reply in (asked, answer):
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert "Origin" in reply.headers["vary"]


def test_nothing_of_it_unless_it_is_set(gateway: Gateway) -> None:
    """Without CORS_ORIGINS no answer says anything of origins, and a preflight needs a key like everything else."""
    asked = from_page(gateway, "OPTIONS", "/v1/chat/completions", PREFLIGHT)
    answer = from_page(gateway, "POST", "/v1/chat/completions", JSON)
    assert (asked.status, answer.status) == (401, 200)
    for reply in (asked, answer):
        assert not [name for name in reply.headers if name.startswith("access-control") or name == "vary"]


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[Gateway]:
    """Glottis for every page, behind any proxy, as on Heroku."""
    with Gateway({"CORS_ORIGINS": "*", "FORWARDED_ALLOW_IPS": "*"}) as running:
        yield running


def test_every_origin(open_to_all: Gateway) -> None:
    """`*` means every page, and still no credentials: keys are no cookies."""
    headers = PREFLIGHT | {"Access-Control-Request-Method": "GET"}
    asked = from_page(open_to_all, "OPTIONS", "/v1/models", headers)
    reply = from_page(open_to_all, "GET", "/health", {}, "https://anywhere.example")
    assert asked.status == 204
    assert set(asked.headers["access-control-allow-methods"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in asked.headers | reply.headers


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO"])
def test_what_a_proxy_may_set_changes_no_path(open_to_all: Gateway, name: str) -> None:
    """Where every proxy is trusted, a header of a caller's still says nothing of where a path begins."""
    headers = {name: "/v1", "X-API-Key": KEY}
    assert request(open_to_all, "GET", "/health", None, headers).status == 200
    assert request(open_to_all, "GET", "/v1/health", None, headers).status == 404

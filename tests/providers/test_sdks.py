"""The official SDKs are the yardstick: what they send is what we send, and every error of theirs has our name.

They are not imported by the server (app/providers/server.py says why); a new version of them that sends or names
something else fails here.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from providers.contract import request
from upstreams import Answer, Upstream
from upstreams.server import Recorded

from app.domain import errors
from app.providers import failures
from app.providers.anthropic.adapter import AnthropicProvider
from app.providers.openai.adapter import OpenAIProvider

MODEL = "m"
MESSAGES: Any = [{"role": "user", "content": "Hi"}]


def by_openai(url: str, key: str | None) -> object:
    """Ask by the openai SDK."""
    headers: Any = {"Accept-Encoding": "identity", **({} if key else {"Authorization": openai.Omit()})}
    with openai.OpenAI(base_url=url, api_key=key or "none", max_retries=0) as client:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_headers=headers)


def by_anthropic(url: str, key: str | None) -> object:
    """Ask by the anthropic SDK."""
    headers: Any = {"Accept-Encoding": "identity", **({} if key else {"Authorization": anthropic.omit})}
    with anthropic.Anthropic(base_url=url, api_key=key or "none", max_retries=0) as client:
        create = client.messages.create
        return create(model=MODEL, max_tokens=9, messages=MESSAGES, stream=True, extra_headers=headers)


def refused_by(provider: OpenAIProvider | AnthropicProvider) -> None:
    """Ask by one of ours, which is refused."""
    with closing(provider), pytest.raises(errors.ProviderError):
        next(provider.stream(request(), MODEL))


def openai_provider(url: str, key: str | None) -> OpenAIProvider:
    """Make our provider, as OpenAI itself."""
    return OpenAIProvider("openai", base_url=url, api_key=key, dialect="openai")


def anthropic_provider(url: str, key: str | None) -> AnthropicProvider:
    """Make our provider."""
    return AnthropicProvider("anthropic", base_url=url, api_key=key)


PAIRS = [
    pytest.param(by_openai, openai_provider, "/v1", id="openai"),
    pytest.param(by_openai, openai_provider, "/some/path/", id="openai, elsewhere"),
    pytest.param(by_anthropic, anthropic_provider, "", id="anthropic"),
    pytest.param(by_anthropic, anthropic_provider, "/some/path/", id="anthropic, elsewhere"),
]

OWN_WORDS = {"user-agent", "content-length", "connection"}
"""Headers in which the SDKs name themselves, or that follow from the body."""


def told(recorded: Recorded) -> dict[str, str]:
    """Return the headers that mean something to the server: not what an SDK tells of itself."""
    return {
        name: value
        for name, value in recorded.headers.items()
        if name not in OWN_WORDS and not name.startswith("x-stainless-")
    }


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Serve an error to all: only the request counts here."""
    with Upstream() as server:
        server.answers[MODEL] = Answer(500)
        yield server


@pytest.mark.parametrize("key", ["sk-some-key", None])
@pytest.mark.parametrize(("by_sdk", "provider", "path"), PAIRS)
def test_we_send_what_the_sdk_sends(
    upstream: Upstream, by_sdk: Any, provider: Any, path: str, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line and headers of a call are the SDK's, with a key or without, for OpenAI on the account that it is told."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
        by_sdk(upstream.url + path, key)
    refused_by(provider(upstream.url + path, key))
    theirs, ours = [recorded for recorded in upstream.requests if recorded.method == "POST"]
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert ours.headers["user-agent"].startswith("Glottis/")
    # The answer is a stream: the SDKs name that in the body alone.
    assert told(ours) == {**told(theirs), "accept": "text/event-stream"}


def test_another_server_is_not_told_our_account(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's organization and project are OpenAI's business alone."""
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    refused_by(OpenAIProvider("other", base_url=upstream.url, api_key=None))
    assert not [name for name in upstream.requests[0].headers if name.startswith("openai-")]


STATUSES: dict[int, type[errors.ProviderError]] = {
    400: errors.ProviderRequestRefused,
    401: errors.ProviderKeyRefused,
    402: errors.ProviderKeyRefused,
    403: errors.ProviderKeyRefused,
    404: errors.ProviderModelNotFound,
    408: errors.ProviderTimeout,
    409: errors.ProviderError,
    412: errors.ProviderError,
    413: errors.ProviderRequestTooLarge,
    422: errors.ProviderRequestRefused,
    429: errors.ProviderRateLimited,
    431: errors.ProviderError,
    499: errors.ProviderError,
    500: errors.ProviderError,
    501: errors.ProviderError,
    503: errors.ProviderOverloaded,
    504: errors.ProviderTimeout,
    529: errors.ProviderOverloaded,
}
"""What the statuses are called here for which the SDKs have classes."""


def status_errors(sdk: Any) -> Iterator[type[Exception]]:
    """Every class of an SDK that stands for a status, of every module that can be imported without extras."""
    for module in pkgutil.walk_packages(sdk.__path__, f"{sdk.__name__}.", onerror=lambda name: None):
        if module.name.startswith((f"{sdk.__name__}._", f"{sdk.__name__}.lib.", f"{sdk.__name__}.types.shared.")):
            try:
                found = vars(importlib.import_module(module.name))
            except ImportError:
                continue
            yield from (
                each for each in found.values() if inspect.isclass(each) and issubclass(each, sdk.APIStatusError)
            )


@pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
def test_every_status_that_an_sdk_names_has_a_name(sdk: Any) -> None:
    """A class that a new version adds for another status has to be thought about here."""
    fixed = {status for kind in status_errors(sdk) if isinstance(status := getattr(kind, "status_code", None), int)}
    assert fixed <= set(STATUSES)
    assert len(fixed) > (0 if sdk is openai else 10)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
def test_an_error_reads_as_the_sdk_reads_it(sdk: Any, status: int) -> None:
    """The same answer, given to the SDK and to us: the same words, code and parameter, under our name."""
    body = {"error": {"message": "words", "type": "some_error", "code": "some_code", "param": "messages"}}
    headers = {"retry-after": "3"}
    answer = httpx2.Response(status, json=body, headers=headers, request=httpx2.Request("POST", "https://x.example"))
    with sdk.OpenAI(api_key="k") if sdk is openai else sdk.Anthropic(api_key="k") as client:
        theirs = client._make_status_error_from_response(answer)
    ours = failures.from_answer(status, headers, json.dumps(body).encode())
    assert type(ours) is STATUSES[status]
    assert (ours.upstream_status, ours.retry_after_s) == (theirs.status_code, 3.0)
    assert "words" in theirs.message
    # The words of a refusal may quote the caller's: they go to the caller, and not to the log.
    assert ("words" in ours.message) is (status in (400, 413, 422))
    assert ours.detail == "code some_code, param messages"

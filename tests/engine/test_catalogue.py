"""The catalogue: which models there are, whoever is down, and never a provider's own words."""

import time

import gevent
import gevent.event
import pytest
from scripted import ScriptedProvider

from app.domain import errors
from app.domain.ports import Model
from app.engine import catalogue
from app.engine.catalogue import Catalogue
from app.engine.routing import Router

GPT = Model("gpt-5.4-mini", 1_700_000_000, "openai")
LLAMA = Model("llama", 0, "meta")
SECRET = "sk-secret at https://internal.example"  # what a provider may say


def provider(name: str, *models: Model) -> ScriptedProvider:
    """Make a provider that offers these models."""
    return ScriptedProvider(name=name, models=models)


def failing(name: str, error: BaseException) -> ScriptedProvider:
    """Make a provider that raises when it is asked."""
    return ScriptedProvider(name=name, models=error)


def join(*providers: ScriptedProvider, routes: tuple[str, ...] = ()) -> Catalogue:
    """Make a catalogue of these providers, all of them configured."""
    names = {each.name for each in providers}
    return Catalogue({each.name: each for each in providers}, routes, Router({}, names, names, None))


def test_routes_and_models() -> None:
    """Routes come first; a vendor's models by their own names, others by provider/model."""
    models = join(provider("openai", GPT), provider("groq", LLAMA), routes=("receptionist",)).models()
    assert models == [Model("receptionist", 0, "glottis"), GPT, Model("groq/llama", 0, "meta")]


def test_a_name_stands_once() -> None:
    """A route that bears a model's name is listed once."""
    assert [model.id for model in join(provider("openai", GPT), routes=(GPT.id,)).models()] == [GPT.id]


def test_providers_are_asked_once() -> None:
    """An answer is kept: neither the list nor readiness asks again, however often they are asked themselves."""
    openai, unset = provider("openai", GPT), failing("groq", errors.ProviderNotConfigured(detail="KEY is not set"))
    listed = join(openai, unset)
    assert [listed.models() for _ in range(3)] == [[GPT]] * 3
    assert listed.failures() == {"openai": None, "groq": "KEY is not set"}
    assert (openai.listed, unset.listed) == (1, 1)


def test_many_at_once_ask_once() -> None:
    """Those who come while an answer is awaited wait for the same one."""
    gate = gevent.event.Event()
    openai = ScriptedProvider(name="openai", models=gate.wait)
    listed = join(openai)
    waiting = [gevent.spawn(listed.models) for _ in range(5)]
    gevent.idle()
    gate.set()
    gevent.joinall(waiting, raise_error=True)
    assert openai.listed == 1


@pytest.mark.parametrize(
    ("error", "span"), [(None, "FRESH_S"), (errors.ProviderBroken(), "ASK_AGAIN_S")], ids=["good", "troubled"]
)
def test_an_answer_grows_old(monkeypatch: pytest.MonkeyPatch, error: errors.ProviderError | None, span: str) -> None:
    """After its time the providers are asked anew; sooner where one was down."""
    monkeypatch.setattr(catalogue, "FRESH_S", 1000.0)
    monkeypatch.setattr(catalogue, "ASK_AGAIN_S", 1000.0)
    monkeypatch.setattr(catalogue, span, 0.0)
    openai = failing("openai", error) if error else provider("openai", GPT)
    listed = join(openai)
    listed.models()
    listed.models()
    assert openai.listed == 2


def test_no_list_of_models_is_no_reason_to_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has no list will have none in two seconds either."""
    monkeypatch.setattr(catalogue, "ASK_AGAIN_S", 0.0)
    bare = failing("vllm", errors.ProviderModelNotFound())
    listed = join(bare)
    assert [listed.failures(), listed.failures()] == [{"vllm": None}] * 2
    assert bare.listed == 1


FAILURES: list[BaseException] = [
    errors.ProviderUnreachable(detail=SECRET),
    errors.ProviderKeyRefused(SECRET, detail=SECRET),
    errors.ProviderRequestRefused(SECRET, detail=SECRET),
    errors.InternalError(detail=SECRET),
    ValueError(SECRET),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_one_that_is_down_does_not_fail_the_list(error: BaseException) -> None:
    """The others' models are listed, and the reason is one of ours: whoever reaches the server may read it."""
    listed = join(failing("groq", error), provider("openai", GPT))
    assert listed.models() == [GPT]
    reasons = listed.failures()
    assert reasons["openai"] is None
    assert reasons["groq"]
    assert not any(word in reasons["groq"] for word in SECRET.split())


def test_one_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is bounded in time, whatever a provider does."""
    monkeypatch.setattr(catalogue, "PATIENCE_S", 0.05)
    silent = ScriptedProvider(name="groq", models=gevent.event.Event().wait)
    listed = join(silent, provider("openai", GPT))
    begun = time.monotonic()
    assert listed.models() == [GPT]
    assert time.monotonic() - begun < 2
    assert listed.failures()["groq"] == errors.ProviderTimeout.default_message


def test_what_was_known_is_kept_while_a_provider_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list does not shrink because somebody is away for a moment, and it recovers by itself."""
    monkeypatch.setattr(catalogue, "FRESH_S", 0.0)
    monkeypatch.setattr(catalogue, "ASK_AGAIN_S", 0.0)
    openai = provider("openai", GPT)
    listed = join(openai)
    assert listed.models() == [GPT]
    openai.offers = errors.ProviderUnreachable()
    assert listed.models() == [GPT]
    assert listed.failures() == {"openai": errors.ProviderUnreachable.default_message}
    openai.offers = [LLAMA]
    assert [model.id for model in listed.models()] == ["openai/llama"]
    assert listed.failures() == {"openai": None}

"""Routing: which targets answer to a model's name."""

import pytest

from app.domain.config import Route, Target
from app.domain.errors import ModelNotFound
from app.engine.routing import Router

RECEPTIONIST = Route([Target("anthropic", "claude-haiku-5-5"), Target("openai", "gpt-5.4-mini")], {"temperature": 0.6})
SHADOW = Route([Target("groq", "llama")])
ROUTES = {"receptionist": RECEPTIONIST, "gpt-4o": SHADOW, "groq/own": SHADOW}
ALL = {"openai", "anthropic", "groq", "local"}


def target(model: str, configured: set[str], default: str | None = "local") -> str:
    """Return what the one target of a name is."""
    (found,) = Router(ROUTES, ALL, configured, default).resolve(model).targets
    return str(found)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-5.4-mini", "openai/gpt-5.4-mini"),
        ("GPT-5", "openai/GPT-5"),
        ("my-gpt-tuned", "openai/my-gpt-tuned"),
        ("ft:gpt-4o:acme", "openai/ft:gpt-4o:acme"),
        ("o1-mini", "openai/o1-mini"),
        ("o3", "openai/o3"),
        ("o4-mini", "openai/o4-mini"),
        ("chatgpt-latest", "openai/chatgpt-latest"),
        ("claude-sonnet-5", "anthropic/claude-sonnet-5"),
        ("Claude-3", "anthropic/Claude-3"),
        ("us.anthropic.claude-3", "anthropic/us.anthropic.claude-3"),
        ("solo3", "local/solo3"),
        ("llama-4", "local/llama-4"),
        ("groq/llama-4", "groq/llama-4"),
        ("groq/meta/llama-4", "groq/meta/llama-4"),
        ("groq/gpt-oss", "groq/gpt-oss"),
        ("openai/claude-like", "openai/claude-like"),
        ("meta/llama-4", "local/meta/llama-4"),
        ("groq/", "local/groq/"),
        ("/llama", "local//llama"),
    ],
)
def test_names(model: str, found: str) -> None:
    """A known provider before the slash wins, then the vendor that the name stands for, then the default."""
    assert target(model, ALL) == found


@pytest.mark.parametrize("model", ["receptionist", "gpt-4o", "groq/own"])
def test_routes_win(model: str) -> None:
    """A route's name means the route, whatever else it looks like."""
    assert Router(ROUTES, ALL, ALL, "local").resolve(model) is ROUTES[model]


@pytest.mark.parametrize(
    ("model", "configured", "found"),
    [
        ("gpt-5", {"local"}, "local/gpt-5"),
        ("claude-sonnet-5", {"openai"}, "local/claude-sonnet-5"),
        ("openai/gpt-5", {"local"}, "openai/gpt-5"),
    ],
)
def test_a_vendor_without_a_key_is_not_guessed(model: str, configured: set[str], found: str) -> None:
    """Without a key, a newcomer's `gpt-4o` is answered by the default; a vendor that is named is what was meant."""
    assert target(model, configured) == found


@pytest.mark.parametrize("model", ["llama-4", "gpt-5", "nobody/m"])
def test_no_default_no_model(model: str) -> None:
    """A name that nobody answers to is a 404, and the caller reads which one."""
    with pytest.raises(ModelNotFound, match=f"'{model}'") as caught:
        Router({}, {"groq"}, {"groq"}, None).resolve(model)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")

"""The tables of model facts: well formed, and what they say is what the strict server takes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from upstreams.openai_rules import check

from app.domain.request import TurnRequest
from app.providers import facts
from app.providers.openai.models import facts_of
from app.providers.openai.translate import to_body

FOLDER = Path(facts.__file__).parent
TOOL: Any = {"type": "function", "function": {"name": "end_call", "parameters": {"type": "object"}}}
IN_USE = [
    *("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"),
    *("gpt-5.6", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5", "gpt-4o", "gpt-4.1", "gpt-4.1-mini"),
    *("o3", "o4-mini"),
]
PLATFORM = [
    {"temperature": 0.5, "max_tokens": 5000},
    {"temperature": 0.5, "max_tokens": 5000, "reasoning_effort": "none"},
    {"temperature": 0.5, "top_p": 0.9, "reasoning_effort": "high", "parallel_tool_calls": False},
    {"reasoning_effort": "minimal", "presence_penalty": 0.1},
    {},
]


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_no_prefix_stands_twice(vendor: str) -> None:
    """One row a family, and one that fits every name."""
    table = tomllib.loads((FOLDER / vendor / "models.toml").read_text())
    prefixes = [row["prefix"] for row in table["model"]]
    assert len(prefixes) == len(set(prefixes))
    assert "" in prefixes


@pytest.mark.parametrize("params", PLATFORM)
@pytest.mark.parametrize("tools", [[], [TOOL]])
@pytest.mark.parametrize("model", IN_USE)
def test_what_the_platform_sends_is_taken_at_once(model: str, tools: list[Any], params: dict[str, Any]) -> None:
    """Every model in use takes ElevenLabs' request as it is sent on, with tools and without: no refusal, no lesson."""
    messages: Any = [{"role": "user", "content": "hello"}]
    request = TurnRequest(model=model, messages=messages, tools=tools, params=params, conversation_id="c" * 100)
    body = to_body(request, model, "openai")
    assert check(body) is None
    assert len(body["prompt_cache_key"]) <= 64


@pytest.mark.parametrize("tools", [[], [TOOL]])
@pytest.mark.parametrize("effort", [None, "none", "minimal", "low", "high"])
@pytest.mark.parametrize("model", [*IN_USE, "o3", "gpt-5", "gpt-5.6", "unknown"])
def test_who_is_made_to_think_is_waited_for(model: str, effort: str | None, tools: list[Any]) -> None:
    """A turn waits for thoughts exactly where the request that is sent asks for them."""
    params = {} if effort is None else {"reasoning_effort": effort}
    request = TurnRequest(model=model, messages=[{"role": "user", "content": "hello"}], tools=tools, params=params)
    sent = to_body(request, model, "openai").get("reasoning_effort")
    assert facts_of(model).thinks(effort, with_tools=bool(tools)) is (sent not in (None, "none", "minimal"))


def test_a_voice_does_not_wait_for_thoughts() -> None:
    """Models that reason by default are asked for their least, unless somebody wants more."""
    request = TurnRequest(model="m", messages=[{"role": "user", "content": "hello"}])
    for model in IN_USE:
        found = facts_of(model)
        wanted = found.efforts[0] if found.quiet else None
        assert to_body(request, model, "openai").get("reasoning_effort") == wanted

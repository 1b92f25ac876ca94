"""The facts of each model are those of the strict server, and of the row that fits its name best."""

import pytest
from upstreams.anthropic_models import LISTED, Model

from app.providers.anthropic.models import facts_of

KNOWN = [*LISTED, "claude-mythos-5", "claude-opus-4-5", "claude-sonnet-4-5", "claude-opus-4-6"]


@pytest.mark.parametrize("name", [*KNOWN, *(f"{name}-20261101" for name in KNOWN)])
def test_no_fact_asks_for_more_than_the_model_takes(name: str) -> None:
    """What a row allows is taken by the model, dated or not; it may be more careful, never less."""
    facts, model = facts_of(name), Model.of(name)
    assert facts.prefix
    assert facts.max_tokens <= model.max_tokens
    assert not facts.prefill or model.takes_prefill
    assert not facts.forced_tool or model.takes_forced_tools
    assert not facts.efforts or model.takes_effort
    assert facts.thinking_off != "disabled" or model.thinking["disabled"]
    if model.thinks_by_default:
        assert facts.thinking_off, "a voice that thinks is a silent one"
    if facts.thinking_off == "effort":
        assert facts.efforts


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("claude-sonnet-5", "claude-sonnet-5"),
        ("claude-sonnet-5-20260901", "claude-sonnet-5"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5-20261015", "claude-sonnet-5-5"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("claude-fable-5-2", "claude-fable"),
        ("claude-next-7", ""),
        ("some-server's-own", ""),
        ("", ""),
    ],
)
def test_the_longest_prefix_wins(name: str, prefix: str) -> None:
    """A dated snapshot has its family's facts, and an unknown name those of the first row."""
    assert facts_of(name).prefix == prefix


def test_an_unknown_model_is_asked_for_nothing_special() -> None:
    """What only some models take is not sent to one that nobody knows."""
    facts = facts_of("unknown")
    assert (facts.thinking_off, facts.efforts, facts.prefill, facts.forced_tool) == ("", [], False, False)

"""Prices: what a turn costs, as the library genai-prices has it."""

import functools
from collections.abc import Iterator

import msgspec
import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import types
from telemetry import genai

from app.domain.events import Usage
from app.telemetry.prices import MOST_KNOWN, PriceList

ADDRESSES = {
    "openai": "http://127.0.0.1:9/v1",
    "anthropic": None,
    "groq": "https://api.groq.com/openai/v1",
    "together": "https://api.together.xyz/v1",
    "mistral": "https://api.mistral.ai/v1",
    "x-ai": "https://api.x.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "mine": "http://127.0.0.1:11434/v1",
    "function": None,
}
PRICES = PriceList(ADDRESSES)

USAGES = [
    Usage(1000, 100),
    Usage(1000, 100, cached_tokens=600),
    Usage(1000, 100, cached_tokens=600, cache_write_tokens=300),
    Usage(200_000, 1),
    Usage(200_001, 1, cached_tokens=100_000, cache_write_tokens=50_000, reasoning_tokens=1),
    Usage(300_000, 100_000),
]

EXAMPLES = [
    (r"\d{4}-\d{2}-\d{2}", "2026-01-01"),
    (r"\d{8}", "20260101"),
    (r"\.", "."),
    ("[-@]", "@"),
    ("^", ""),
    ("$", ""),
]
"""What stands for the pieces of a pattern in a name that it fits."""


def names(model: types.ModelInfo) -> Iterator[str]:
    """Yield names that mean a model, one for each way in which it is known."""
    for clause in model.match.or_ if isinstance(model.match, types.ClauseOr) else [model.match]:
        match clause:
            case types.ClauseEquals(equals=name):
                yield name
            case types.ClauseStartsWith(starts_with=prefix):
                yield f"{prefix}-20260101"
            case types.ClauseContains(contains=part):
                yield f"x{part}x"
            case types.ClauseRegex(regex=pattern):
                yield functools.reduce(lambda text, step: text.replace(*step), EXAMPLES, pattern)


def test_the_list_is_that_of_the_library() -> None:
    """`make prices` would change nothing."""
    made_on = msgspec.json.decode(genai.FILE.read_bytes())["made_on"]
    assert genai.FILE.read_text() == genai.text(made_on), "run `make prices`"


@pytest.mark.parametrize("provider", genai.providers(), ids=lambda provider: provider.id)
def test_the_library_agrees(provider: types.Provider) -> None:
    """Every model by every name costs what the library says, cached tokens and long prompts too; others have none."""
    priced = {model.id for model in genai.models(provider)}
    assert priced
    wrong = []
    for name in {name for model in provider.models for name in names(model)}:
        theirs = provider.find_model(name)
        assert theirs is not None
        for usage in USAGES if theirs.id in priced else []:
            cost = theirs.calc_price(
                TheirUsage(
                    input_tokens=usage.prompt_tokens,
                    output_tokens=usage.completion_tokens,
                    cache_read_tokens=usage.cached_tokens,
                    cache_write_tokens=usage.cache_write_tokens,
                ),
                provider,
            )
            if PRICES.cost_usd(f"{provider.id}/{name}", usage) != pytest.approx(float(cost.total_price)):
                wrong.append((name, usage))
        if theirs.id not in priced and PRICES.cost_usd(f"{provider.id}/{name}", USAGES[0]) is not None:
            wrong.append((name, None))
    assert wrong == []


@pytest.mark.parametrize(
    ("target", "cost"),
    [
        ("openai/nobody-knows", None),
        ("openai/", None),
        ("mine/gpt-4.1", None),
        ("function/my_agent:answer", None),
        ("nowhere/gpt-4.1", None),
        ("local/smollm2", 0.0),
        ("groq/openai/gpt-oss-20b", PRICES.cost_usd("groq/OpenAI/GPT-OSS-20B", USAGES[0])),
    ],
)
def test_who_has_a_price(target: str, cost: float | None) -> None:
    """A vendor is known by its address, wherever its table is called; own servers and functions have no price."""
    assert PRICES.cost_usd(target, USAGES[0]) == cost


def test_a_vendor_by_another_name() -> None:
    """The name of a table in glottis.toml says nothing."""
    mine = PriceList({"fast": "https://api.groq.com/openai/v1"})
    assert mine.cost_usd("fast/openai/gpt-oss-20b", USAGES[0]) == PRICES.cost_usd("groq/openai/gpt-oss-20b", USAGES[0])
    assert mine.cost_usd("fast/openai/gpt-oss-20b", USAGES[0])


def test_names_of_callers_are_not_kept_for_ever() -> None:
    """Callers may name any model: what is kept of them is bounded."""
    prices = PriceList(ADDRESSES)
    for number in range(2 * MOST_KNOWN):
        prices.cost_usd(f"openai/{number}", USAGES[0])
    assert len(prices._known) <= MOST_KNOWN
    assert prices.cost_usd("openai/gpt-4.1", USAGES[0]) == pytest.approx(0.0028)

"""app/telemetry/prices.json, made from what genai-prices knows: `make prices`.

The library itself is no part of the server: it costs 27 MB and 0.3 s in every process.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec
from gateway import ROOT
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

PROVIDERS = ("openai", "anthropic", "groq", "together", "mistral", "x-ai", "deepseek")
"""Those that docs/providers.md tells of. Not OpenRouter, whose prices change with whom it passes a call on to."""

KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
FOR_TEXT = frozenset(KINDS)
ELSEWHERE = ("audio", "image", "hours", "kcount", "kpages", "1h", "chars")
"""In names of prices for what no Chat Completions answer of ours has."""

FILE = ROOT / "app" / "telemetry" / "prices.json"


def providers() -> list[types.Provider]:
    """Return the providers of the list."""
    return [each for each in get_snapshot().providers if each.id in PROVIDERS]


def models(provider: types.Provider) -> Iterator[types.ModelInfo]:
    """Yield those of its models that answer with text, for one price at all times of the day."""
    for model in provider.models:
        steps = conditions(model)
        is_timeless = not any(isinstance(step.constraint, types.TimeOfDateConstraint) for step in steps)
        if is_timeless and all(_is_for_text(step.prices) for step in steps):
            yield model


def conditions(model: types.ModelInfo) -> list[types.ConditionalPrice]:
    """Return a model's prices, each with the condition under which it holds."""
    if isinstance(model.prices, types.ModelPrice):
        return [types.ConditionalPrice(prices=model.prices)]
    return model.prices


def _is_for_text(prices: types.ModelPrice) -> bool:
    names = {name for name, price in vars(prices).items() if price is not None}
    foreign = {name for name in names - FOR_TEXT if not any(word in name for word in ELSEWHERE)}
    return {"input_mtok", "output_mtok"} <= names and not foreign


def table(made_on: str) -> dict[str, Any]:
    """Return the whole file, as made on a day."""
    return {
        "made_on": made_on,
        "source": f"genai-prices {version('genai-prices')}: US dollars for a million tokens of text",
        "columns": ["above so many input tokens", "input", "output", "input from the cache", "input into the cache"],
        "providers": [
            {"name": each.id, "address": each.api_pattern, "models": [_row(model) for model in models(each)]}
            for each in providers()
        ],
    }


def _row(model: types.ModelInfo) -> dict[str, Any]:
    row: dict[str, Any] = {"names": [], "prefixes": [], "patterns": []}
    for clause in model.match.or_ if isinstance(model.match, types.ClauseOr) else [model.match]:
        match clause:
            case types.ClauseEquals(equals=name):
                row["names"].append(name.lower())
            case types.ClauseStartsWith(starts_with=prefix):
                row["prefixes"].append(prefix.lower())
            case types.ClauseContains(contains=part):
                row["patterns"].append(re.escape(part.lower()))
            case types.ClauseRegex(regex=pattern):
                row["patterns"].append(pattern)
            case _:
                raise ValueError(f"{model.id}: {clause}")
    row["prices"] = [{**_since(step), "rates": _rates(step.prices)} for step in conditions(model)]
    return {name: value for name, value in row.items() if value}


def _since(step: types.ConditionalPrice) -> dict[str, date]:
    return {"since": step.constraint.start_date} if isinstance(step.constraint, types.StartDateConstraint) else {}


def _rates(prices: types.ModelPrice) -> list[list[float]]:
    """Return the price of each kind of token, from every number of input tokens at which one changes."""
    tiered = [price for price in (getattr(prices, kind) for kind in KINDS) if isinstance(price, types.TieredPrices)]
    starts = sorted({0} | {tier.start for price in tiered for tier in price.tiers})
    return [[start, *(_rate(prices, kind, start) for kind in KINDS)] for start in starts]


def _rate(prices: types.ModelPrice, kind: str, start: int) -> float:
    price = getattr(prices, kind)
    if price is None:  # the cache has no price of its own
        return _rate(prices, "input_mtok", start)
    if isinstance(price, types.TieredPrices):
        price = next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
    assert isinstance(price, Decimal)
    return float(price)


def text(made_on: str) -> str:
    """Return the file's text, a model in each line."""
    whole = _line(table(made_on))
    return (
        re.sub(
            r'(?<=[,\[])(?={"(?:name|names|prefixes|patterns)":)|,(?="(?:source|columns|providers)":)', _break, whole
        )
        + "\n"
    )


def _break(found: "re.Match[str]") -> str:
    return found[0] + "\n"


def _line(value: Any) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    FILE.write_text(text(datetime.now(UTC).date().isoformat()))

"""What tokens cost: prices.json, which `make prices` makes from the library genai-prices, and a test holds to it.

Data instead of the library, which would add 27 MB and 0.25 s to every worker; this adds 0.4 MB and 6 ms.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from app.domain.events import Usage

LIST = Path(__file__).parent / "prices.json"

BUILT_IN = ("openai", "anthropic")
"""Their models have their own vendors' prices, wherever they are asked for. Other providers are known by address."""

MOST_KNOWN = 1024
"""Callers may name any model."""


class Rates(msgspec.Struct, array_like=True, frozen=True):
    """US dollars for a million tokens, where the prompt has more than `above`."""

    above: int
    input: float
    output: float
    cached: float
    written: float


class Prices(msgspec.Struct, frozen=True):
    """The rates from a date on, the least `above` first."""

    rates: list[Rates]
    since: date | None = None


class Model(msgspec.Struct, frozen=True):
    """A model by its names, their beginnings, and patterns of them; the last prices that hold are its own."""

    prices: list[Prices]
    names: list[str] = []
    prefixes: list[str] = []
    patterns: list[str] = []

    def is_called(self, name: str) -> bool:
        """Whether this name, in lower case, means this model."""
        return (
            name in self.names
            or name.startswith(tuple(self.prefixes))
            or any(re.search(pattern, name) for pattern in self.patterns)
        )


class Vendor(msgspec.Struct, frozen=True):
    """A vendor and its models; the first that fits a name is meant."""

    name: str
    address: str
    models: list[Model]


class _List(msgspec.Struct, frozen=True):
    providers: list[Vendor]


class PriceList:
    """The prices of the models that this server's providers have."""

    def __init__(self, addresses: Mapping[str, str | None]) -> None:
        """Take the providers' names, with their base URLs where they are not their vendor's own."""
        vendors = msgspec.json.decode(LIST.read_bytes(), type=_List).providers
        found = {name: _vendor(vendors, name, address or "") for name, address in addresses.items()}
        self._models = {name: vendor.models for name, vendor in found.items() if vendor is not None}
        self._known: dict[str, Model | None] = {}

    def cost_usd(self, target: str, usage: Usage) -> float | None:
        """Return what so many tokens of `provider/model` cost; None where that is not known. Costs 3 us.

        The embedded model costs nothing.
        """
        if target.startswith("local/"):
            return 0.0
        model = self._model(target)
        return None if model is None else _cost_usd(_today(model), usage)

    def _model(self, target: str) -> Model | None:
        if target not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            provider, _, name = target.lower().partition("/")
            self._known[target] = next((each for each in self._models.get(provider, ()) if each.is_called(name)), None)
        return self._known[target]


def _vendor(vendors: list[Vendor], name: str, address: str) -> Vendor | None:
    if name in BUILT_IN:
        return next(vendor for vendor in vendors if vendor.name == name)
    return next((vendor for vendor in vendors if re.match(vendor.address, address)), None)


def _today(model: Model) -> list[Rates]:
    if len(model.prices) == 1:
        return model.prices[0].rates
    today = datetime.now(UTC).date()
    holding = [prices for prices in model.prices if prices.since is None or prices.since <= today]
    return (holding or model.prices[:1])[-1].rates


def _cost_usd(rates: list[Rates], usage: Usage) -> float:
    rate = next((each for each in reversed(rates) if usage.prompt_tokens > each.above), rates[0])
    plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    cost = max(0, plain) * rate.input + usage.cached_tokens * rate.cached
    return (cost + usage.cache_write_tokens * rate.written + usage.completion_tokens * rate.output) / 1_000_000

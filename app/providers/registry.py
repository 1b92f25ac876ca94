"""Providers by name: each is made from a row of data, whichever vendor or server it is."""

from collections.abc import Callable, Iterable, Mapping

from app.domain.config import Vendor
from app.domain.errors import ProviderNotConfigured
from app.domain.events import Events
from app.domain.ports import Model, Provider
from app.domain.request import TurnRequest
from app.providers.anthropic.adapter import ANTHROPIC_URL, AnthropicProvider
from app.providers.function import FunctionProvider, load
from app.providers.openai.adapter import OPENAI_URL, OpenAIProvider


def _openai(name: str, vendor: Vendor) -> Provider:
    return OpenAIProvider(
        name,
        api_key=vendor.api_key,
        base_url=vendor.base_url,
        dialect="openai" if name == "openai" else "compatible",
    )


def _anthropic(name: str, vendor: Vendor) -> Provider:
    return AnthropicProvider(
        name,
        api_key=vendor.api_key,
        base_url=vendor.base_url,
    )


KINDS: Mapping[str, Callable[[str, Vendor], Provider]] = {"openai": _openai, "anthropic": _anthropic}
"""A wire format, and what makes a provider that speaks it."""

DEFAULT_URLS: Mapping[str, str] = {"openai": OPENAI_URL, "anthropic": ANTHROPIC_URL}
"""Where that is, unless a vendor says otherwise."""


class UnconfiguredProvider:
    """Stands where a provider would, and says what is missing."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._reason = reason

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Raise ProviderNotConfigured at the first step."""
        yield from ()  # what makes it a generator, as the port wants
        raise ProviderNotConfigured(detail=self._reason)

    def first_token_s(self, request: TurnRequest, model: str) -> None:
        """It will not speak."""

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """It heeds nothing."""
        return False

    def models(self) -> list[Model]:
        """Raise ProviderNotConfigured."""
        raise ProviderNotConfigured(detail=self._reason)


def build(vendors: Mapping[str, Vendor], functions: Iterable[str]) -> dict[str, Provider]:
    """Return the providers by name. A vendor whose key is not set is there too, and says so when it is asked."""
    providers: dict[str, Provider] = {name: _vendor(name, vendor) for name, vendor in vendors.items()}
    loaded = {path: load(path) for path in functions}
    if loaded:
        providers["function"] = FunctionProvider(loaded)
    return providers


def _vendor(name: str, vendor: Vendor) -> Provider:
    if vendor.api_key_env and not vendor.api_key:
        return UnconfiguredProvider(name, f"{vendor.api_key_env} is not set")
    return KINDS[vendor.kind](name, vendor)

"""From a model's public name to the targets that may answer for it."""

import re
from collections.abc import Mapping, Set

from app.domain.config import Budget, Route, Target
from app.domain.errors import ModelNotFound

FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"gpt|^(o1|o3|o4|chatgpt)", re.IGNORECASE), "openai"),
    (re.compile(r"claude", re.IGNORECASE), "anthropic"),
)
"""The vendors that a bare model name stands for, as in the seed's registry."""


class Router:
    """Knows the routes and which providers are configured."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        providers: Set[str],
        configured: Set[str],
        default: str | None,
        budget: Budget = Budget(),  # noqa: B008 (it is frozen)
    ) -> None:
        """Take the routes, the names of all providers and of those that can be used, and what other models have."""
        self._routes = routes
        self._providers = providers
        self._configured = configured
        self._default = default
        self._budget = budget

    def resolve(self, model: str) -> Route:
        """Return the route for a model name; raises ModelNotFound.

        In this order: a route of that name; `provider/model` of a known provider; the vendor that the name stands
        for, if it is configured; the default provider.
        """
        if route := self._routes.get(model):
            return route
        provider, _, rest = model.partition("/")
        if rest and provider in self._providers:
            return self._to(provider, rest)
        for name, vendor in FAMILIES:
            if name.search(model) and vendor in self._configured:
                return self._to(vendor, model)
        if self._default is not None:
            return self._to(self._default, model)
        raise ModelNotFound(
            f"The model '{model}' does not exist: no route and no provider answers to it.", param="model"
        )

    def route_of(self, model: str) -> str | None:
        """Return the `[routes.NAME]` that a model name finds; None where it finds a provider, or nothing."""
        return model if model in self._routes else None

    def _to(self, provider: str, model: str) -> Route:
        return Route([Target(provider, model)], budget=self._budget)

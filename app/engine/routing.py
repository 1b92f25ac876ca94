"""From a model's public name to the targets that may answer for it."""

import re
from collections.abc import Mapping, Set

from app.domain.config import Route, Target
from app.domain.errors import ModelNotFound

FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"gpt|^(o1|o3|o4|chatgpt)", re.IGNORECASE), "openai"),
    (re.compile(r"claude", re.IGNORECASE), "anthropic"),
)
"""The vendors that a bare model name stands for, as in the seed's registry."""


class Router:
    """Knows the routes and which providers are configured."""

    def __init__(
        self, routes: Mapping[str, Route], providers: Set[str], configured: Set[str], default: str | None
    ) -> None:
        self._routes = routes
        self._providers = providers
        self._configured = configured
        self._default = default

    def resolve(self, model: str) -> Route:
        """Return the route for a model name; raises ModelNotFound.

        In this order: a route of that name; `provider/model` of a known provider; the vendor that the name stands
        for, if it is configured; the default provider.
        """
        if route := self._routes.get(model):
            return route
        provider, _, rest = model.partition("/")
        if rest and provider in self._providers:
            return Route([Target(provider, rest)])
        for name, vendor in FAMILIES:
            if name.search(model) and vendor in self._configured:
                return Route([Target(vendor, model)])
        if self._default is not None:
            return Route([Target(self._default, model)])
        raise ModelNotFound(
            f"The model '{model}' does not exist: no route and no provider answers to it.", param="model"
        )

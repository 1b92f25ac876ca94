"""create_app: the only place that sees every room, and joins them."""

import logging

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.api import auth, chat, errors, headers, health, hooks, limits, metrics, models, openapi, turns
from app.api.application import Application
from app.domain.ports import Observer, Provider, Resident
from app.engine.catalogue import Catalogue
from app.engine.routing import Router
from app.engine.turn import Desk
from app.parts.observing import metrics_of, prices_of, records_of, traces_of
from app.parts.providers import first_configured, providers_of
from app.parts.sharing import cache_of, fleet_of, gate_of, store_of
from app.providers.registry import UnconfiguredProvider
from app.settings import Settings
from app.telemetry import logs

BLUEPRINTS = (chat.blueprint, models.blueprint, health.blueprint, openapi.blueprint, turns.blueprint)


def create_app(settings: Settings) -> Flask:
    """Return the WSGI application for these settings; raises SettingsError where a part of it cannot start."""
    logs.configure(settings.log.level, settings.log.format)
    providers = providers_of(settings)
    router = _router(settings, providers)
    store = store_of(settings.store)
    measured, traces, records = metrics_of(settings), traces_of(settings), records_of(settings.records)
    watching = [each for each in (measured, traces, records) if each is not None]
    residents: list[Resident] = [*watching]
    observers: list[Observer] = [logs.TurnLog(), *watching]
    listeners = [logs.ContentLog()] if settings.log.content else []
    cost_of, cache, fleet = prices_of(settings).cost_usd, cache_of(settings, store), fleet_of(store)
    desk = Desk(router, providers, observers, cost_of, listeners, cache, fleet)

    app = Application("glottis", static_folder=None)
    app.debug = False  # whatever FLASK_DEBUG says: what goes wrong inside is nobody's business outside
    _configure(app, settings)
    app.extensions["glottis.desk"] = desk
    app.extensions["glottis.store"] = store
    app.extensions["glottis.records"] = records
    app.extensions["glottis.residents"] = residents
    app.extensions["glottis.catalogue"] = Catalogue(providers, settings.routes, router)
    headers.init_app(app, settings.clients.hsts_s)
    hooks.init_app(app)
    if hops := settings.trusted_hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=0, x_host=0)  # type: ignore[method-assign]
    if settings.clients.cors_origins:
        from app.api import cors

        cors.init_app(app, settings.clients.cors_origins)
    auth.init_app(app, settings.api_keys, allow_anonymous=settings.allow_anonymous)
    limits.init_app(app, gate_of(settings, store))
    errors.init_app(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    if measured is not None:
        metrics.init_app(app, settings.metrics, measured)
        measured.watch("glottis_turns_in_flight", lambda: desk.open_turns)
        measured.watch("glottis_breaker_state", desk.breaker_states)
        if store is not None:
            measured.watch("glottis_store_up", lambda: {"valkey": float(store.is_up)})
    return app


def _configure(app: Flask, settings: Settings) -> None:
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_TOKENS_LIMIT=settings.max_tokens_limit,
        CONVERSATION_ID_FIELDS=settings.conversation_id_fields,
        HEADER_TIMEOUT_S=settings.clients.header_timeout_s,
        BODY_TIMEOUT_S=settings.clients.body_timeout_s,
        STORE_FAIL_CLOSED=settings.store.fail_closed,
        RECORDS_KEY=settings.records.keys,
    )


def _router(settings: Settings, providers: dict[str, Provider]) -> Router:
    """Return what finds a model's targets, and tell what there is."""
    configured = {name for name, provider in providers.items() if not isinstance(provider, UnconfiguredProvider)}
    named = settings.default_provider
    default = named if named in configured else first_configured(settings, configured)
    # `provider/model` may be said of these. A function answers under the name of its route alone; and `openai/...` may
    # well be another vendor's own name of a model, where there is no key for OpenAI.
    prefixes = (configured | settings.vendors.keys()) - {"function"}
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
    return Router(settings.routes, prefixes, configured, default, settings.budget)

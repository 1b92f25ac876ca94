"""What glottis.toml sets, with the keys at providers that it names: providers, routes and their budgets."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from environs import Env
from marshmallow import ValidationError, validate

from app.domain.config import Budget, Route, Vendor
from app.domain.limits import Limits
from app.schemas.params import set_params
from app.schemas.reasons import reasons
from app.settings.environment import key_at_provider
from app.settings.limits import usual
from app.settings.schema import ConfigSchema, Known

BUILT_IN = ("openai", "anthropic", "local", "function")
"""Providers that need no table in glottis.toml."""

OWN = ("prompt_caching", "reasoning_content", "cache_ttl_s", "cache_any_temperature")
"""What a route says of itself, beside its parameters and its budget."""


def read(path: Path, env: Env, *, required: bool, wrong: list[str]) -> dict[str, Any]:
    """Return what glottis.toml sets, with the keys that it names, adding to `wrong` what is wrong with it."""
    loaded: dict[str, Any] = {}
    if required or path.exists():
        try:
            loaded = _validated(tomllib.loads(path.read_text("utf-8")))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            wrong.append(f"{path}: {error}")
        except ValidationError as error:
            wrong += [f"{path}: {key}: {reason}" for key, reason in reasons(error.messages)]
    defaults = loaded.get("defaults", {})
    vendors = {
        name: Vendor(
            **table,
            api_key=key_at_provider(env, table["api_key_env"]) if "api_key_env" in table else None,
        )
        for name, table in loaded.get("providers", {}).items()
    }
    budget: dict[str, Any] = {"heartbeat_s": env.float("HEARTBEAT_S", 0.0, validate=validate.Range(0, 600))}
    budget |= defaults.get("budget", {})
    return {
        "default_provider": defaults.get("provider"),
        "budget": Budget(**budget),
        "limits": Limits(**usual(env) | defaults.get("limits", {})),
        "vendors": vendors,
        "routes": {name: _route(table, budget) for name, table in loaded.get("routes", {}).items()},
    }


def _route(table: dict[str, Any], budget: Mapping[str, Any]) -> Route:
    own: dict[str, Any] = {name: table[name] for name in OWN if name in table}
    own |= {"budget": Budget(**{**budget, **table.get("budget", {})}), "limits": Limits(**table.get("limits", {}))}
    return Route(table["targets"], set_params(table), **own)


def _validated(config: dict[str, Any]) -> dict[str, Any]:
    tables = config.get("providers")
    with Known(frozenset(BUILT_IN) | frozenset(tables if isinstance(tables, dict) else ())):
        return cast("dict[str, Any]", ConfigSchema().load(config))

"""All settings, from the environment and glottis.toml, as one frozen value; bad ones are reported together, at boot."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dotenv import load_dotenv
from environs import Env, EnvValidationError
from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate
from marshmallow.experimental.context import Context
from msgspec import Struct

from app.domain.config import Budget, Route, Target, Vendor
from app.providers import function
from app.schemas.fields import Flag, Map, Number, OneOf, Whole
from app.schemas.params import ParamsSchema, set_params
from app.schemas.reasons import reasons

BUILT_IN = ("openai", "anthropic", "local", "function")
"""Providers that need no table in glottis.toml."""

Known = Context[frozenset[str]]
"""The names of all providers, while glottis.toml is read."""

CONVERSATION_ID_FIELDS = ["conversation_id", "system__conversation_id", "conversationId", "UUID", "uuid"]


class SettingsError(Exception):
    """The server cannot start; each line says what to change and where."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("Glottis cannot start:\n" + "\n".join(f"  - {reason}" for reason in reasons))


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set; docs/settings.md explains each."""

    api_keys: Mapping[str, str]
    allow_anonymous: bool
    openai_api_key: str | None
    openai_base_url: str | None
    anthropic_api_key: str | None
    anthropic_base_url: str | None
    max_body_bytes: int
    max_tokens_limit: int | None
    conversation_id_fields: list[str]
    local_port: int
    log_level: str
    default_provider: str | None
    budget: Budget
    vendors: Mapping[str, Vendor]
    routes: Mapping[str, Route]

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment, `.env` under it, and glottis.toml; raises SettingsError with all that is wrong."""
        env = Env(eager=False)
        dotenv = os.environ.get("GLOTTIS_DOTENV", ".env")
        if Path(dotenv).is_file():
            load_dotenv(dotenv)  # into the environment itself, where a user's own function finds its keys too
        values = _environment(env)
        config_path = values.pop("config_path")
        wrong_in_file: list[str] = []
        config = _config(Path(config_path or "glottis.toml"), env, required=bool(config_path), wrong=wrong_in_file)
        wrong = _wrong_in(env)
        if not (values["api_keys"] or values["allow_anonymous"] or "API_KEYS" in wrong):
            wrong["API_KEYS"] = (
                "not set. Set it to the keys that callers may use (API_KEYS=agent:a-long-random-word), "
                "or set ALLOW_ANONYMOUS=true to let anybody in who can reach the server."
            )
        if wrong or wrong_in_file:
            raise SettingsError([f"{name}: {reason}" for name, reason in wrong.items()] + wrong_in_file)
        return cls(**values, **config)


def _wrong_in(env: Env) -> dict[str, str]:
    """Return the variables that have a bad value, each with the reason; nothing more is read after this."""
    try:
        env.seal()
    except EnvValidationError as error:
        messages = cast("dict[str, list[str]]", error.error_messages)
        return {name: " ".join(texts) for name, texts in messages.items()}
    return {}


def _environment(env: Env) -> dict[str, Any]:
    return {
        "api_keys": _api_keys(env),
        "allow_anonymous": env.bool("ALLOW_ANONYMOUS", False),
        "openai_api_key": _key(env.str("OPENAI_API_KEY", "", validate=_fits_a_header)),
        "openai_base_url": env.str("OPENAI_BASE_URL", "", validate=_url_or_empty) or None,
        "anthropic_api_key": _key(env.str("ANTHROPIC_API_KEY", "", validate=_fits_a_header)),
        "anthropic_base_url": env.str("ANTHROPIC_BASE_URL", "", validate=_url_or_empty) or None,
        "max_body_bytes": env.int("MAX_BODY_BYTES", 4 * 1024 * 1024, validate=validate.Range(min=1024)),
        "max_tokens_limit": env.int("MAX_TOKENS_LIMIT", None, validate=validate.Range(min=1)),
        "conversation_id_fields": env.list("CONVERSATION_ID_FIELDS", CONVERSATION_ID_FIELDS),
        "local_port": env.int("LOCAL_PORT", 0, validate=validate.Range(0, 65535)),
        "log_level": env.str("LOG_LEVEL", "info", validate=validate.OneOf(["debug", "info", "warning", "error"])),
        "config_path": env.str("GLOTTIS_CONFIG", ""),
    }


def _key(text: str | None) -> str | None:
    """Return a key at a provider; the line's end that a mounted secret has is none of it."""
    return (text or "").strip() or None


def _fits_a_header(text: str) -> None:
    if not (text.strip().isascii() and text.strip().isprintable()):
        raise ValidationError("This is no key: it has characters that no HTTP header may hold.")


def _url_or_empty(text: str) -> None:
    if text:
        validate.URL(schemes={"http", "https"}, require_tld=False)(text)


def _api_keys(env: Env) -> dict[str, str]:
    """Return the callers' keys by name; a key without a name is named by its place: key1, key2, ..."""
    return dict(_named_keys(env.str("API_KEYS", "", validate=_no_key_lost) or ""))


def _named_keys(text: str) -> list[tuple[str, str]]:
    named: list[tuple[str, str]] = []
    for place, entry in enumerate(text.split(","), 1):
        name, colon, key = entry.partition(":")
        if colon:
            named.append((name.strip(), key.strip()))
        elif entry.strip():
            named.append((f"key{place}", entry.strip()))
    return named


def _no_key_lost(text: str) -> None:
    named = _named_keys(text)
    if not all(name and key for name, key in named):
        raise ValidationError("Expected keys between commas, each as KEY or NAME:KEY.")
    if len(dict(named)) < len(named):
        raise ValidationError("Two keys have the same name.")


class _Strict(Schema):
    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "unknown key", "type": "expected a table"}  # noqa: RUF012 (marshmallow's own way)


class _Phrases(fields.Field[tuple[str, ...]]):
    """A phrase, or several that are used in turn."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        phrases = [value] if isinstance(value, str) else value
        if not isinstance(phrases, list) or not phrases or not all(isinstance(one, str) and one for one in phrases):
            raise ValidationError("expected a phrase, or a list of them")
        return tuple(phrases)


class _BudgetSchema(_Strict):
    connect_s = Number(0.01, 600)
    first_token_s = Number(0.01, 600)
    idle_s = Number(0.01, 600)
    total_s = Number(0.1, 3600)
    retries = Whole(0, 10)
    retry_after_max_s = Number(0, 60)
    hedge_after_s = Number(0, 600)
    filler_after_s = Number(0, 600)
    filler = _Phrases()
    filler_max = Whole(1, 10)
    resume = Flag()
    apology = fields.String()
    cooldown_s = Number(0, 3600)
    cooldown_after = Whole(1, 1000)
    heartbeat_s = Number(0, 600)
    headers_after_s = Number(0.01, 600)


class _ProviderName(fields.String):
    """A provider that exists."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        name: str = super()._deserialize(value, attr, data, **kwargs)
        if name not in Known.get():
            raise ValidationError(f"there is no provider '{name}'")
        return name


class _DefaultsSchema(_Strict):
    provider = _ProviderName(validate=validate.NoneOf(["function"], error="a function needs a route"))
    budget = fields.Nested(_BudgetSchema)


class _ProviderSchema(_Strict):
    kind = OneOf("openai", "anthropic", required=True)
    base_url = fields.Url(required=True, schemes={"http", "https"}, require_tld=False)
    api_key_env = fields.String(validate=validate.Length(min=1))


class _Target(fields.String):
    """`provider/model` or `function:module:name`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text.startswith("function:"):
            path = text.removeprefix("function:")
            try:
                function.load(path)
            except ValueError as error:
                raise ValidationError(str(error)) from None
            return Target("function", path)
        provider, _, model = text.partition("/")
        if not (provider and model) or provider == "function":
            raise ValidationError("expected provider/model or function:module:name")
        if provider not in Known.get():
            raise ValidationError(f"there is no provider '{provider}'")
        return Target(provider, model)


class _RouteSchema(ParamsSchema, _Strict):
    prompt_caching = Flag()
    reasoning_content = Flag()
    budget = fields.Nested(_BudgetSchema)
    targets = fields.List(_Target(), required=True, validate=validate.Length(min=1, error="expected at least one"))

    @pre_load
    def _one_target(self, data: Any, **_: Any) -> Any:
        # `target = "..."` is short for a list of one.
        if isinstance(data, dict) and "target" in data and "targets" not in data:
            data = {**data, "targets": [data["target"]]}
            del data["target"]
        return data


_new_name = fields.String(validate=validate.NoneOf(["local", "function"], error="this name is taken"))


class _ConfigSchema(_Strict):
    defaults = fields.Nested(_DefaultsSchema)
    providers = Map(keys=_new_name, values=fields.Nested(_ProviderSchema))
    routes = Map(keys=fields.String(), values=fields.Nested(_RouteSchema))


def _config(path: Path, env: Env, *, required: bool, wrong: list[str]) -> dict[str, Any]:
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
            api_key=_key(env.str(table["api_key_env"], "", validate=_fits_a_header))
            if "api_key_env" in table
            else None,
        )
        for name, table in loaded.get("providers", {}).items()
    }
    budget: dict[str, Any] = {"heartbeat_s": env.float("HEARTBEAT_S", 0.0, validate=validate.Range(0, 600))}
    budget |= defaults.get("budget", {})
    return {
        "default_provider": defaults.get("provider"),
        "budget": Budget(**budget),
        "vendors": vendors,
        "routes": {name: _route(table, budget) for name, table in loaded.get("routes", {}).items()},
    }


def _route(table: dict[str, Any], budget: Mapping[str, Any]) -> Route:
    own = {name: table[name] for name in ("prompt_caching", "reasoning_content") if name in table}
    return Route(table["targets"], set_params(table), budget=Budget(**{**budget, **table.get("budget", {})}), **own)


def _validated(config: dict[str, Any]) -> dict[str, Any]:
    tables = config.get("providers")
    with Known(frozenset(BUILT_IN) | frozenset(tables if isinstance(tables, dict) else ())):
        return cast("dict[str, Any]", _ConfigSchema().load(config))

"""All settings, from the environment and glottis.toml, as one frozen value; bad ones are reported together, at boot."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dotenv import load_dotenv
from environs import Env, EnvValidationError
from msgspec import Struct

from app.domain.config import Budget, Route, Secret, Vendor
from app.domain.limits import Limits
from app.settings import cache, clients, environment, file, limits, logs, metrics, records, store, traces
from app.settings.cache import CacheSettings
from app.settings.clients import Clients
from app.settings.logs import LogSettings
from app.settings.metrics import MetricsSettings
from app.settings.records import RecordsSettings
from app.settings.store import StoreSettings
from app.settings.traces import TraceSettings


class SettingsError(Exception):
    """The server cannot start; each line says what to change and where."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("Glottis cannot start:\n" + "\n".join(f"  - {reason}" for reason in reasons))


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set; docs/settings.md explains each."""

    api_keys: Mapping[str, Secret]
    allow_anonymous: bool
    openai_api_key: Secret | None
    openai_base_url: str | None
    anthropic_api_key: Secret | None
    anthropic_base_url: str | None
    max_body_bytes: int
    max_tokens_limit: int | None
    conversation_id_fields: list[str]
    local_port: int
    log: LogSettings
    metrics: MetricsSettings
    traces: TraceSettings
    default_provider: str | None
    clients: Clients
    budget: Budget
    vendors: Mapping[str, Vendor]
    routes: Mapping[str, Route]
    store: StoreSettings
    cache: CacheSettings
    limits: Limits
    trusted_hops: int
    records: RecordsSettings

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment, `.env` under it, and glottis.toml; raises SettingsError with all that is wrong."""
        env = _environment()
        values = environment.read(env) | store.read(env) | cache.read(env) | limits.read(env)
        values |= {"clients": clients.read(env), "log": logs.read(env), "metrics": metrics.read(env)}
        values |= {"traces": traces.read(env), "records": records.read(env)}
        config_path = env.str("GLOTTIS_CONFIG", "")
        wrong_in_file: list[str] = []
        config = file.read(Path(config_path or "glottis.toml"), env, required=bool(config_path), wrong=wrong_in_file)
        wrong = _wrong_in(env)
        if not (values["api_keys"] or values["allow_anonymous"] or "API_KEYS" in wrong):
            wrong["API_KEYS"] = (
                "not set. Set it to the keys that callers may use (API_KEYS=agent:a-long-random-word), "
                "or set ALLOW_ANONYMOUS=true to let anybody in who can reach the server."
            )
        if not wrong and set(values["records"].keys) & set(values["api_keys"].values()):
            wrong["RECORDS_KEY"] = "is one of API_KEYS: callers could read about each other's turns. Set another."
        if wrong or wrong_in_file:
            raise SettingsError([f"{name}: {reason}" for name, reason in wrong.items()] + wrong_in_file)
        return cls(**values, **config)


def load_records() -> RecordsSettings:
    """Read what is set of the record of turns alone; raises SettingsError."""
    env = _environment()
    found = records.read(env)
    if wrong := _wrong_in(env):
        raise SettingsError([f"{name}: {reason}" for name, reason in wrong.items()])
    return found


def _environment() -> Env:
    """Return the environment, with `.env` under it."""
    dotenv = os.environ.get("GLOTTIS_DOTENV", ".env")
    if Path(dotenv).is_file():
        load_dotenv(dotenv)  # into the environment itself, where a user's own function finds its keys too
    return Env(eager=False)


def _wrong_in(env: Env) -> dict[str, str]:
    """Return the variables that have a bad value, each with the reason; nothing more is read after this."""
    try:
        env.seal()
    except EnvValidationError as error:
        messages = cast("dict[str, list[str]]", error.error_messages)
        return {name: " ".join(texts) for name, texts in messages.items()}
    return {}

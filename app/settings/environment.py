"""What the environment sets: keys, addresses and bounds, each checked where it is read."""

from typing import Any

from environs import Env
from marshmallow import ValidationError, validate

from app.domain.config import Secret

CONVERSATION_ID_FIELDS = ["conversation_id", "system__conversation_id", "conversationId", "UUID", "uuid"]


def read(env: Env) -> dict[str, Any]:
    """Return the fields of Settings that variables set."""
    return {
        "api_keys": dict(_named_keys(env.str("API_KEYS", "", validate=_no_key_lost) or "")),
        "allow_anonymous": env.bool("ALLOW_ANONYMOUS", False),
        "openai_api_key": key_at_provider(env, "OPENAI_API_KEY"),
        "openai_base_url": env.str("OPENAI_BASE_URL", "", validate=url_or_empty) or None,
        "anthropic_api_key": key_at_provider(env, "ANTHROPIC_API_KEY"),
        "anthropic_base_url": env.str("ANTHROPIC_BASE_URL", "", validate=url_or_empty) or None,
        "max_body_bytes": env.int("MAX_BODY_BYTES", 4 * 1024 * 1024, validate=validate.Range(min=1024)),
        "max_tokens_limit": env.int("MAX_TOKENS_LIMIT", None, validate=validate.Range(min=1)),
        "conversation_id_fields": env.list("CONVERSATION_ID_FIELDS", CONVERSATION_ID_FIELDS),
        "local_port": env.int("LOCAL_PORT", 0, validate=validate.Range(0, 65535)),
    }


def key_at_provider(env: Env, name: str) -> Secret | None:
    """Return our key at a provider; the line's end that a mounted secret has is none of it."""
    return Secret((env.str(name, "", validate=_fits_a_header) or "").strip()) or None


def entries(text: str | None) -> list[str]:
    """Return what stands between commas, without what is empty."""
    return [entry.strip() for entry in (text or "").split(",") if entry.strip()]


def _fits_a_header(text: str) -> None:
    if not (text.strip().isascii() and text.strip().isprintable()):
        raise ValidationError("This is no key: it has characters that no HTTP header may hold.")


def url_or_empty(text: str) -> None:
    """Check an address that may be left empty; raises ValidationError."""
    if text:
        validate.URL(schemes={"http", "https"}, require_tld=False)(text)


def _named_keys(text: str) -> list[tuple[str, Secret]]:
    """Return the callers' keys with their names; a key without a name is named by its place: key1, key2, ..."""
    named: list[tuple[str, Secret]] = []
    for place, entry in enumerate(text.split(","), 1):
        name, colon, key = entry.partition(":")
        if colon:
            named.append((name.strip(), Secret(key.strip())))
        elif entry.strip():
            named.append((f"key{place}", Secret(entry.strip())))
    return named


def _no_key_lost(text: str) -> None:
    named = _named_keys(text)
    if not all(name and key for name, key in named):
        raise ValidationError("Expected keys between commas, each as KEY or NAME:KEY.")
    for _, key in named:
        _fits_a_header(key)
    if len(dict(named)) < len(named):
        raise ValidationError("Two keys have the same name.")

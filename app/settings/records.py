"""Whether turns are recorded, where, and who may read them."""

from pathlib import Path
from urllib.parse import urlsplit

from environs import Env
from marshmallow import ValidationError, validate
from msgspec import Struct

from app.domain.config import Secret
from app.settings.environment import entries

POSTGRES = {"postgres", "postgresql", "postgresql+psycopg"}


class RecordsSettings(Struct, frozen=True, kw_only=True):
    """Whether turns are recorded: in Postgres at `database_url`, or without one in the SQLite file at `path`."""

    on: bool
    database_url: Secret | None
    path: Path
    keys: tuple[Secret, ...]
    """Which open GET /v1/turns; without any it is closed."""
    queue: int
    """Rows that may wait for the database, in each worker."""
    kept_days: int
    """0: for ever."""


def read(env: Env) -> RecordsSettings:
    """Return what the environment says of it."""
    is_on = env.bool("RECORD_TURNS", None)
    # Where nothing is recorded, that variable is somebody else's.
    check = None if is_on is False else _postgres_or_empty
    database_url = Secret((env.str("DATABASE_URL", "", validate=check) or "").strip()) or None
    return RecordsSettings(
        on=database_url is not None if is_on is None else is_on,
        database_url=database_url,
        path=Path(env.str("RECORDS_PATH", "") or "glottis.db"),
        keys=tuple(map(Secret, entries(env.str("RECORDS_KEY", "")))),
        queue=env.int("RECORDS_QUEUE", 10_000, validate=validate.Range(200, 1_000_000)),
        kept_days=env.int("RECORDS_KEPT_DAYS", 30, validate=validate.Range(0, 36_500)),
    )


def _postgres_or_empty(text: str) -> None:
    """Check the address; what is wrong is told without it, because a password is in it."""
    scheme, separator, _ = text.strip().partition("://")
    try:
        fits = not text.strip() or (scheme in POSTGRES and bool(separator) and urlsplit(text.strip()).port != 0)
    except ValueError:  # no port: most likely the rest of a password
        fits = False
    if not fits:
        raise ValidationError(
            "Expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for what is special in the password."
        )

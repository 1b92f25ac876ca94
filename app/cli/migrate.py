"""`python -m app.cli.migrate`: bring the database of the record of turns to this release's schema.

For the release phase: it may run twice at once, and does nothing where nothing is recorded or nothing is to be done.
"""

import argparse
import sys

from app.settings import SettingsError, load_records


def main() -> None:
    """Migrate, and say what was done; ends with status 1 where that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m app.cli.migrate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", nargs="?", help="another revision, such as 0001; `base` deletes the table")
    revision: str | None = parser.parse_args().revision
    try:
        settings = load_records()
    except SettingsError as error:
        sys.exit(str(error))
    if not settings.on:
        _say("Turns are not recorded (RECORD_TURNS, DATABASE_URL): nothing to migrate.")
        return
    from app.stores.records.schema import SchemaError, migrated  # only now: it takes SQLAlchemy and Alembic

    try:
        before, after = migrated(settings.database_url, settings.path, revision)
    except SchemaError as error:
        sys.exit(f"The record of turns cannot be migrated: {error}")
    if before == after:
        _say(f"The record of turns is at revision {after}: nothing to migrate.")
    else:
        _say(f"The record of turns was at revision {before} and is at {after}.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()

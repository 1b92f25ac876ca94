"""GET /v1/turns: the record of turns, for whoever runs the server."""

from typing import Any

from flask import Blueprint, current_app, request

from app.api.auth import keyed_by
from app.domain.errors import PathNotFound
from app.domain.ports import TurnArchive
from app.schemas.turns import load_query

blueprint = Blueprint("turns", __name__)


@blueprint.get("/v1/turns")
@keyed_by("RECORDS_KEY")
def list_turns() -> dict[str, Any]:
    """List recorded turns, the newest first; needs the server's RECORDS_KEY."""
    archive: TurnArchive | None = current_app.extensions["glottis.records"]
    if archive is None:
        raise PathNotFound("This server records no turns: set RECORD_TURNS=true, or DATABASE_URL.")
    page = archive.find(load_query(request.args))
    ids = [turn["id"] for turn in page.turns]
    return {
        "object": "list",
        "data": page.turns,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": page.has_more,
    }

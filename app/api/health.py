"""GET /health: the process is up. GET /health/ready: it can answer a turn, and if not, why."""

from typing import Any

from flask import Blueprint, current_app

from app import __version__
from app.api.auth import public
from app.api.desk import desk
from app.domain.ports import Store
from app.engine.catalogue import Catalogue

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@public
def health() -> dict[str, str]:
    """Say that the process is up, and which version it is."""
    return {"status": "healthy", "version": __version__}


@blueprint.get("/health/ready")
@public
def ready() -> tuple[dict[str, Any], int]:
    """Say whether turns can be answered, and of providers why not; 503 if none can be used, or if the server stops.

    A store that is down makes it `degraded`, or 503 where it must not be.
    """
    if desk().is_draining:  # nobody is asked: whoever waits for this is to look elsewhere at once
        return {"status": "draining", "providers": {}}, 503
    catalogue: Catalogue = current_app.extensions["glottis.catalogue"]
    failures = catalogue.failures()
    providers = {
        name: {"usable": True} if reason is None else {"usable": False, "reason": reason}
        for name, reason in failures.items()
    }
    is_ready = None in failures.values()
    told: dict[str, Any] = {"status": "ready" if is_ready else "not_ready", "providers": providers}
    store: Store | None = current_app.extensions["glottis.store"]
    if store is not None:
        is_up = store.ping()
        told["store"] = "up" if is_up else "down"
        if is_ready and not is_up:
            is_ready = not current_app.config["STORE_FAIL_CLOSED"]
            told["status"] = "degraded" if is_ready else "not_ready"
    return told, 200 if is_ready else 503

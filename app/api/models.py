"""GET /v1/models: the routes, and what each provider offers."""

from typing import Any

from flask import Blueprint, current_app

from app.api.auth import keyed
from app.domain.errors import ModelNotFound
from app.domain.ports import Model
from app.engine.catalogue import Catalogue

blueprint = Blueprint("models", __name__)


@blueprint.get("/v1/models")
@blueprint.get("/models")
@keyed
def list_models() -> dict[str, Any]:
    """List the models in OpenAI's shape."""
    return {"object": "list", "data": [_row(model) for model in _catalogue().models()]}


@blueprint.get("/v1/models/<path:model_id>")
@blueprint.get("/models/<path:model_id>")
@keyed
def get_model(model_id: str) -> dict[str, Any]:
    """Describe one model; 404 if it is not in the list."""
    for model in _catalogue().models():
        if model.id == model_id:
            return _row(model)
    raise ModelNotFound(f"The model '{model_id}' does not exist.", param="model")


def _row(model: Model) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}


def _catalogue() -> Catalogue:
    catalogue: Catalogue = current_app.extensions["glottis.catalogue"]
    return catalogue

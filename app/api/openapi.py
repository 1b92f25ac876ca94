"""GET /openapi.json: what this server takes and answers, told from its own routes, marks, schemas and errors."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from inspect import getdoc
from typing import Any, NamedTuple

import msgspec
from flask import Blueprint, Flask, Response, current_app
from werkzeug.routing import Rule

from app import __version__
from app.api.auth import HEADERS, public
from app.api.worker import STATUSES
from app.domain import errors
from app.domain.request import JSON

blueprint = Blueprint("openapi", __name__)

IMPLIED_METHODS = {"HEAD", "OPTIONS"}
"""Every path has these by HTTP's own rules; the document does not repeat them."""

ABOUT = "The language-model server behind an ElevenLabs voice agent, in the words of OpenAI's Chat Completions API."


class Operation(NamedTuple):
    """What the document cannot read off a view: its request, its answers by status and media type, and its errors."""

    answers: Mapping[int, Mapping[str, JSON]]
    failures: Iterable[type[errors.GlottisError]] = ()
    request: str | None = None
    parameters: tuple[JSON, ...] = ()
    query: str | None = None


def _named(schema: str) -> JSON:
    return {"$ref": f"#/components/schemas/{schema}"}


def _json(schema: str) -> dict[str, JSON]:
    return {"application/json": _named(schema)}


def _tree(error: type[errors.GlottisError]) -> Iterator[type[errors.GlottisError]]:
    yield error
    for child in error.__subclasses__():
        yield from _tree(child)


_DATA = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"anyOf": [_named("Chunk"), _named("Error")]},
}
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"anyOf": [{"const": "[DONE]"}, _DATA]}},
    "description": "One event of the stream. The last is `[DONE]`, or an Error where the answer breaks off.",
}
"""As OpenAPI 3.2 has it under itemSchema; 3.1 has no words for a stream."""

_CONVERSATION = {
    "name": "X-Conversation-Id",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The voice call that the turn belongs to.",
}
_MODEL = {
    "name": "model_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "A model's name; slashes in it need not be escaped.",
}
_CHAT_ERRORS: tuple[type[errors.GlottisError], ...] = (
    errors.InvalidRequest,
    errors.ModelNotFound,
    errors.RequestTooLarge,
    errors.UnsupportedMediaType,
    errors.ServerStopping,
    errors.StoreDown,
    *_tree(errors.RateLimitExceeded),
    *_tree(errors.ProviderError),
)

OPERATIONS = {
    "chat.chat_completions": Operation(
        {200: {**_json("Completion"), "text/event-stream": _EVENT}}, _CHAT_ERRORS, "ChatRequest", (_CONVERSATION,)
    ),
    "models.list_models": Operation({200: _json("ModelList")}),
    "models.get_model": Operation({200: _json("Model")}, (errors.ModelNotFound,), None, (_MODEL,)),
    "turns.list_turns": Operation(
        {200: _json("TurnList")},
        (errors.InvalidRequest, errors.PathNotFound, errors.RecordsUnavailable),
        query="TurnsQuery",
    ),
    "health.health": Operation({200: _json("Health")}),
    "health.ready": Operation({200: _json("Readiness"), 503: _json("Readiness")}),
    "metrics.metrics": Operation(
        {200: {"text/plain": {"type": "string"}, "application/openmetrics-text": {"type": "string"}}},
        (errors.InvalidKey, errors.AddressRefused),
    ),
    "openapi.document": Operation({200: {"application/json": {"type": "object"}}}),
}
"""Every view, by its endpoint."""

_HEADERS: dict[str, JSON] = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "The request's own id if it had one, or a new one."},
    "X-Process-Time": {"schema": {"type": "string"}, "description": "Seconds until the answer began."},
    "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait, where the provider said so."},
}


@blueprint.get("/openapi.json")
@public
def document() -> Response:
    """Return this document."""
    encoded = current_app.extensions.get("glottis.openapi")
    if encoded is None:
        encoded = msgspec.json.encode(described(current_app))
        current_app.extensions["glottis.openapi"] = encoded
    return Response(encoded, content_type="application/json")


def described(app: Flask) -> JSON:
    """Return the OpenAPI document of an application."""
    from app.schemas.document import VERSION, schemas  # apispec is for this alone

    paths: dict[str, JSON] = defaultdict(dict)
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - IMPLIED_METHODS):
            paths[path][method.lower()] = _operation(app, rule, path, method)
    return {
        "openapi": VERSION,
        "info": {"title": "Glottis", "version": __version__, "description": ABOUT},
        "paths": dict(paths),
        "components": {
            "schemas": schemas(app.config["MAX_TOKENS_LIMIT"]),
            "headers": _HEADERS,
            "securitySchemes": _security_schemes(),
        },
    }


def _operation(app: Flask, rule: Rule, path: str, method: str) -> JSON:
    from app.schemas.document import parameters

    view = app.view_functions[rule.endpoint]
    operation = OPERATIONS[rule.endpoint]
    auth = getattr(view, "auth", "keyed")
    keyed = auth != "public" and bool(app.config["API_KEYS" if auth == "keyed" else auth])
    told: JSON = {
        "operationId": f"{method} {path}",
        "summary": (getdoc(view) or "").partition("\n")[0],
        "tags": [rule.endpoint.partition(".")[0]],
        "security": [{header: []} for header in HEADERS] if keyed else [],
        "parameters": [*operation.parameters, *(parameters(operation.query) if operation.query else ())],
        "responses": _responses(operation, keyed=keyed),
    }
    if operation.request:
        content = {"application/json": {"schema": _named(operation.request)}}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _responses(operation: Operation, *, keyed: bool) -> JSON:
    reasons: dict[int, list[str]] = defaultdict(list)
    always = (errors.RequestTimeout, errors.InternalError)
    for error in (*operation.failures, *((errors.InvalidKey,) if keyed else ()), *always):
        reasons[error.status].append(error.default_message)
    for status in (errors.InvalidRequest.status, *STATUSES.values()):
        reasons[status].append("The request is not HTTP as this server reads it.")
    told = {status: _response(" Or: ".join(found), _json("Error")) for status, found in reasons.items()}
    told |= {status: _response("The answer.", content) for status, content in operation.answers.items()}
    return {str(status): told[status] for status in sorted(told)}


def _response(description: str, content: Mapping[str, JSON]) -> JSON:
    media = {kind: {"schema": schema} for kind, schema in content.items()}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    return {"description": description, "headers": headers, "content": media}


def _security_schemes() -> dict[str, Any]:
    bearer, *others = HEADERS
    return {
        bearer: {"type": "http", "scheme": "bearer"},
        **{header: {"type": "apiKey", "in": "header", "name": header} for header in others},
    }

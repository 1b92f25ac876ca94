"""The schemas' part of the OpenAPI document: what a request and each answer look like, as JSON Schemas.

Only GET /openapi.json imports this module, and with it apispec: starting the server costs nothing for it.
"""

from inspect import getdoc
from typing import Any, cast

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import Schema, fields

from app.domain.request import JSON
from app.schemas import answers
from app.schemas.chat import ChatSchema
from app.schemas.turns import TurnsQuerySchema

VERSION = "3.1.1"
"""Of OpenAPI."""

SCHEMAS: dict[str, type[Schema]] = {
    "ChatRequest": ChatSchema,
    "Completion": answers.CompletionSchema,
    "Chunk": answers.ChunkSchema,
    "Error": answers.ErrorSchema,
    "ModelList": answers.ModelListSchema,
    "TurnList": answers.TurnListSchema,
    "Health": answers.HealthSchema,
    "Readiness": answers.ReadinessSchema,
}
"""The schemas that the document's paths name; those within them get a name from their class."""

QUERIES: dict[str, type[Schema]] = {"TurnsQuery": TurnsQuerySchema}
"""The schemas of the paths' queries."""


class Converter(OpenAPIConverter):
    """Lets a field that describes itself do so; apispec knows marshmallow's own classes alone."""

    def field2property(self, field: fields.Field[Any]) -> JSON:
        """Return the JSON Schema of a field."""
        if not hasattr(field, "json_schema"):
            return super().field2property(field)
        schema: JSON = _or_null(field.json_schema()) if field.allow_none else field.json_schema()
        return schema | {key: text for key, text in field.metadata.items() if key == "description"}


class Plugin(MarshmallowPlugin):
    """apispec's, with our converter."""

    Converter = Converter


def schemas(max_tokens_limit: int | None) -> dict[str, JSON]:
    """Return the JSON Schema of everything in `SCHEMAS`, and of what is nested there, by name."""
    plugin = Plugin()
    spec = APISpec("", "", VERSION, [plugin])
    for name, schema in SCHEMAS.items():
        spec.components.schema(name, schema=schema)
    found: dict[str, JSON] = spec.to_dict()["components"]["schemas"]
    for described, name in cast("Converter", plugin.converter).refs.items():
        found[name]["description"] = getdoc(described[0])
    if max_tokens_limit is not None:
        _limit_tokens(found["ChatRequest"], max_tokens_limit)
    return found


def parameters(name: str) -> list[JSON]:
    """Return the parameters that a schema in `QUERIES` takes from a URL."""
    plugin = Plugin()
    APISpec("", "", VERSION, [plugin])
    found: list[JSON] = cast("Converter", plugin.converter).schema2parameters(QUERIES[name], location="query")
    return found


def _or_null(schema: JSON) -> JSON:
    if "enum" in schema:
        return schema if None in schema["enum"] else {**schema, "enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _limit_tokens(request: JSON, limit: int) -> None:
    """Tell MAX_TOKENS_LIMIT, which is the server's and not the schema's."""
    for name in ("max_tokens", "max_completion_tokens"):
        request["properties"][name]["anyOf"][0]["maximum"] = limit

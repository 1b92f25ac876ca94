"""The parameters of Chat Completions that shape an answer: a request may set them, and a route give defaults.

Source: OpenAI's API reference, chat completions, as the openai SDK 3.54 types it; the ranges are the project's seed's.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields

from app.domain.request import JSON
from app.schemas.fields import Few, Flag, Map, Number, Object, OneOf, Stop, Tokens, Whole


class Metadata(Object):
    """OpenAI's metadata, text by text. Vapi sends an object of its own under this name, which is left aside."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        metadata: dict[str, Any] = super()._deserialize(value, attr, data, **kwargs)
        return metadata if all(isinstance(text, str) for text in metadata.values()) else None


class ResponseFormat(Object):
    """OpenAI's response_format; where it is a schema, the schema has a name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(("text", "json_object", "json_schema"), **kwargs)

    def json_schema(self) -> JSON:
        """A type alone, or with a schema."""
        properties = {
            "name": {"type": "string"},
            "description": {"type": ["string", "null"]},
            "schema": {"type": ["object", "null"]},
            "strict": {"type": ["boolean", "null"]},
        }
        named = {"type": "object", "required": ["name"], "properties": properties}
        without = {"type": "object", "required": ["type"], "properties": {"type": {"enum": ["text", "json_object"]}}}
        with_schema = {"type": {"const": "json_schema"}, "json_schema": named}
        return {"anyOf": [without, {"type": "object", "required": ["type", "json_schema"], "properties": with_schema}]}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        chosen: dict[str, Any] = super()._deserialize(value, attr, data, **kwargs)
        if chosen["type"] == "json_schema":
            _check_schema(chosen.get("json_schema"))
        return chosen


def _check_schema(named: Any) -> None:
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        raise ValidationError({"json_schema": ["Expected an object with a name."]})
    for field, (expected, words) in _SCHEMA_FIELDS.items():
        if not isinstance(named.get(field), expected | None):
            raise ValidationError({"json_schema": {field: [f"Expected {words}."]}})


_SCHEMA_FIELDS: dict[str, tuple[type[Any], str]] = {
    "description": (str, "a string"),
    "schema": (dict, "an object"),
    "strict": (bool, "true or false"),
}


class ParamsSchema(Schema):
    """Every parameter by OpenAI's name. null is the same as leaving it out."""

    temperature = Number(0, 2, allow_none=True)
    top_p = Number(0, 1, allow_none=True)
    max_tokens = Tokens(1, allow_none=True, metadata={"description": "-1 means no bound."})
    max_completion_tokens = Tokens(1, allow_none=True, metadata={"description": "Counts before max_tokens."})
    presence_penalty = Number(-2, 2, allow_none=True)
    frequency_penalty = Number(-2, 2, allow_none=True)
    reasoning_effort = OneOf("none", "minimal", "low", "medium", "high", "xhigh", "max", allow_none=True)
    verbosity = OneOf("low", "medium", "high", allow_none=True)
    stop = Stop(allow_none=True)
    seed = Whole(allow_none=True)
    logprobs = Flag(allow_none=True)
    top_logprobs = Whole(0, 20, allow_none=True)
    logit_bias = Map(keys=fields.String(), values=Number(-100, 100), allow_none=True)
    response_format = ResponseFormat(allow_none=True)
    parallel_tool_calls = Flag(allow_none=True)
    service_tier = fields.String(allow_none=True)
    store = Flag(allow_none=True)
    metadata = Metadata(allow_none=True)
    modalities = Few(OneOf("text", error_messages={"invalid": "Only text is supported."}), allow_none=True)
    moderation = Object(allow_none=True)
    prediction = Object(("content",), allow_none=True)
    prompt_cache_key = fields.String(allow_none=True)
    prompt_cache_options = Object(allow_none=True)
    prompt_cache_retention = fields.String(allow_none=True)
    safety_identifier = fields.String(allow_none=True)
    user = fields.String(allow_none=True)
    web_search_options = Object(allow_none=True)


PARAMS = frozenset(ParamsSchema().fields)


def set_params(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of loaded fields that are parameters and are set, under one name where OpenAI has two."""
    params = {name: value for name, value in loaded.items() if name in PARAMS and value is not None}
    if "max_completion_tokens" in params:
        params["max_tokens"] = params.pop("max_completion_tokens")
    return params

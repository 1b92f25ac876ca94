"""What Anthropic's Messages API refuses of a request's parameters and tools; `anthropic_messages` has the messages.

Numbers in brackets are the cases of facts/anthropic.md, [P] the parameters of anthropic 2.12
(`types/message_create_params.py`). Every refusal is a 400 in the API's own words.
"""

import re
from typing import Any

from .anthropic_models import Model

Body = dict[str, Any]

# [P]; `temperature`, `top_p` and `top_k` by older versions alone.
_FIELDS = {
    *("max_tokens", "messages", "model", "cache_control", "container", "diagnostics", "inference_geo", "metadata"),
    *("output_config", "service_tier", "speed", "stop_sequences", "system", "thinking", "tool_choice", "tools"),
    *("user_profile_id", "stream"),
}
_SAMPLING = {"temperature": 1, "top_p": 1, "top_k": None}
# [P]: what a tool may have (`types/tool_param.py`).
_TOOL_FIELDS = {
    *("type", "name", "description", "input_schema", "cache_control", "strict", "allowed_callers", "defer_loading"),
    *("eager_input_streaming", "input_examples"),
}


class Refused(Exception):
    """The API's refusal of a request."""

    def __init__(self, message: str, status: int = 400, type: str = "invalid_request_error") -> None:  # noqa: A002
        super().__init__(message)
        self.message, self.status, self.type = message, status, type


def check_parameters(body: Body, version: str) -> None:
    """Raise the first refusal, of everything but the messages themselves."""
    _fields(body, version)
    model = Model.of(body["model"])
    _no_such_model(body)
    _max_tokens(body, model)
    _sampling(body, model)
    _stop_sequences(body)
    _metadata(body)
    _thinking(body, model)
    _output_config(body, model)
    _tools(body)
    _tool_choice(body, model)
    _cache_control(body)


def extra(body: Body, fields: set[str], at: str = "") -> None:
    """Refuse a field that is not one of these."""
    for name in body:
        if name not in fields:
            raise Refused(f"{at}{name}: Extra inputs are not permitted")


def matches(text: Any, pattern: str, at: str) -> None:
    """Refuse what is not a string of this pattern."""
    if not isinstance(text, str):
        raise Refused(f"{at}: Input should be a valid string")
    if not re.search(pattern, text):
        raise Refused(f"{at}: String should match pattern '{pattern}'")


def _is(value: Any, kind: type | tuple[type, ...], at: str, words: str) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Refused(f"{at}: Input should be a valid {words}")


def _fields(body: Body, version: str) -> None:
    """[P], and [21]: from version 2026-10-21 on, the sampling parameters are unknown fields on every model."""
    extra(body, _FIELDS if version >= "2026-10-21" else _FIELDS | set(_SAMPLING))
    for name in ("model", "messages", "max_tokens"):
        if name not in body:
            raise Refused(f"{name}: Field required")
    _is(body["model"], str, "model", "string")
    _is(body["messages"], list, "messages", "list")
    _is(body.get("stream", False), bool, "stream", "boolean")


def _no_such_model(body: Body) -> None:
    if body["model"].startswith("no-such"):
        raise Refused(f"model: {body['model']}", 404, "not_found_error")


def _max_tokens(body: Body, model: Model) -> None:
    """[20] Required, at least 1 (the platform sends -1), and at most what the model can."""
    _is(body["max_tokens"], int, "max_tokens", "integer")
    if body["max_tokens"] < 1:
        raise Refused("max_tokens: Input should be greater than or equal to 1")
    if body["max_tokens"] > model.max_tokens:
        most = f"{model.max_tokens}, which is the maximum allowed number of output tokens for {model.id}"
        raise Refused(f"max_tokens: {body['max_tokens']} > {most}")


def _sampling(body: Body, model: Model) -> None:
    """[21] With an older version header: in range, never both on 4.x, and the defaults alone on newer models."""
    for name, default in _SAMPLING.items():
        if name not in body:
            continue
        _is(body[name], int if name == "top_k" else (int, float), name, "number")
        if name != "top_k" and not 0 <= body[name] <= 1:
            raise Refused(f"{name}: range: 0..1")
        if not model.takes_sampling and body[name] != default:
            raise Refused(f"`{name}` may only be set to its default on this model.")
    if model.version >= (4, 0) and "temperature" in body and "top_p" in body:
        raise Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _stop_sequences(body: Body) -> None:
    """[22] Each says something."""
    stops = body.get("stop_sequences", [])
    _is(stops, list, "stop_sequences", "list")
    for at, stop in enumerate(stops):
        _is(stop, str, f"stop_sequences.{at}", "string")
        if not stop.strip():
            raise Refused("stop_sequences: each stop sequence must contain non-whitespace")


def _metadata(body: Body) -> None:
    """[23] No e-mail address."""
    metadata = body.get("metadata", {})
    extra(metadata, {"user_id"}, "metadata.")
    user = metadata.get("user_id") or ""
    _is(user, str, "metadata.user_id", "string")
    if re.search(r"[^@\s]+@[^@\s]+\.[^@\s]+", user):
        raise Refused("metadata.user_id: user_id appears to contain an email address")


def _thinking(body: Body, model: Model) -> None:
    """[24] Each model takes other types."""
    if "thinking" not in body:
        return
    kind = body["thinking"].get("type")
    if kind not in model.thinking:
        known = ", ".join(f"'{each}'" for each in model.thinking)
        raise Refused(
            f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: {known}"
        )
    if not model.thinking[kind]:
        raise Refused(f'"thinking.type.{kind}" is not supported for this model.')
    extra(
        body["thinking"], {"type", "display"} | ({"budget_tokens"} if kind == "enabled" else set()), f"thinking.{kind}."
    )
    if kind == "enabled":
        budget = body["thinking"].get("budget_tokens", 0)
        if budget < 1024:
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body["max_tokens"]:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")


def thinking_is_on(body: Body, model: Model) -> bool:
    """[24] Newer models think unless told not to."""
    if "thinking" in body:
        return body["thinking"]["type"] in {"enabled", "adaptive"}
    return model.thinks_by_default


def _output_config(body: Body, model: Model) -> None:
    """[24], [26] Effort and format."""
    config = body.get("output_config", {})
    extra(config, {"effort", "format"}, "output_config.")
    if config.get("effort") is not None:
        if config["effort"] not in {"low", "medium", "high", "xhigh", "max"}:
            raise Refused("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
        if not model.takes_effort:
            raise Refused("This model does not support the effort parameter.")
    if config.get("format") is not None:
        extra(config["format"], {"type", "schema"}, "output_config.format.")
        if config["format"].get("type") != "json_schema":
            raise Refused("output_config.format.type: Input should be 'json_schema'")
        _is(config["format"].get("schema"), dict, "output_config.format.schema", "dictionary")


def _tools(body: Body) -> None:
    """[15], [16] Names, descriptions and schemas."""
    tools = body.get("tools", [])
    _is(tools, list, "tools", "list")
    for at, tool in enumerate(tools):
        if tool.get("type", "custom") != "custom":
            continue  # a tool of the server's own
        where = f"tools.{at}.custom."
        extra(tool, _TOOL_FIELDS, where)
        matches(tool.get("name"), r"^[a-zA-Z0-9_-]{1,128}$", f"{where}name")
        if "description" in tool:
            _is(tool["description"], str, f"{where}description", "string")
        _schema(tool.get("input_schema"), f"{where}input_schema")
    names = [tool["name"] for tool in tools]
    if len(names) != len(set(names)):
        raise Refused("tools: Tool names must be unique.")


def _schema(schema: Any, at: str) -> None:
    """[15] An object at the root."""
    _is(schema, dict, at, "dictionary")
    if "type" not in schema:
        raise Refused(f"{at}.type: Field required")
    if schema["type"] != "object":
        raise Refused(f"{at}.type: Input should be 'object'")
    if {"anyOf", "oneOf", "allOf"} & set(schema):
        raise Refused(f"{at}: input_schema does not support oneOf, allOf, or anyOf at the top level")


def _tool_choice(body: Body, model: Model) -> None:
    """[18], [19] Four kinds, each with its own fields; a forced choice does not go with thinking."""
    if "tool_choice" not in body:
        return
    choice = body["tool_choice"]
    _is(choice, dict, "tool_choice", "dictionary")
    kind = choice.get("type")
    parallel = {"disable_parallel_tool_use"}
    fields = {"auto": parallel, "any": parallel, "tool": parallel | {"name"}, "none": set()}
    if kind not in fields:
        raise Refused(f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    extra(choice, {"type"} | fields[kind], f"tool_choice.{kind}.")
    if not body.get("tools"):
        raise Refused("tool_choice: may only be specified while providing `tools`.")
    if kind == "tool" and choice.get("name") not in {tool["name"] for tool in body["tools"]}:
        raise Refused(f"Tool '{choice.get('name')}' not found in provided tools")
    if kind in {"any", "tool"}:
        if not model.takes_forced_tools:
            raise Refused(f"tool_choice.type: '{kind}' is not supported on this model.")
        if thinking_is_on(body, model):
            raise Refused("Thinking may not be enabled when tool_choice forces tool use.")


def _cache_control(body: Body) -> None:
    """[27] At most 4 marks, of which the automatic one at the top is one."""
    marks = list(_marks({name: body.get(name) for name in ("cache_control", "tools", "system", "messages")}))
    for mark in marks:
        if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in {"5m", "1h"}:
            raise Refused("cache_control: Input should be of type 'ephemeral', with a ttl of '5m' or '1h'")
    if len(marks) > 4:
        raise Refused(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")


def _marks(value: Any) -> list[Body]:
    """Every mark within; what a caller's own JSON holds (a tool's input, a schema) is no place for marks."""
    if isinstance(value, list):
        return [mark for each in value for mark in _marks(each)]
    if not isinstance(value, dict):
        return []
    inside = [value[key] for key in value if key not in {"cache_control", "input", "input_schema"}]
    return [mark for mark in [value.get("cache_control")] if mark] + _marks(inside)

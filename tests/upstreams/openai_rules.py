"""What OpenAI's Chat Completions API refuses, as one list of rules; every refusal is a 400 in its own words.

Sources: [P] the parameters of openai 3.54 (`types/chat/completion_create_params.py`), [F] "OpenAI's own traps" in
facts/anthropic.md, [R] error bodies as users of the API report them.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

Body = dict[str, Any]


class Refused(Exception):
    """The API's refusal of a request."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


# [P]: each parameter, the JSON type it wants, and whether it may be null (`Optional` in the SDK's types).
_TYPES: dict[str, tuple[str, bool]] = {
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "temperature", "top_p"), ("decimal", True)),
    **dict.fromkeys(("max_completion_tokens", "max_tokens", "n", "seed", "top_logprobs"), ("integer", True)),
    **dict.fromkeys(("logprobs", "store", "stream"), ("boolean", True)),
    **dict.fromkeys(("prompt_cache_key", "prompt_cache_retention", "reasoning_effort"), ("string", True)),
    **dict.fromkeys(("safety_identifier", "service_tier", "verbosity"), ("string", True)),
    **dict.fromkeys(("audio", "logit_bias", "metadata", "moderation", "prediction"), ("object", True)),
    "stream_options": ("object", True),
    "modalities": ("array", True),
    "stop": ("string or array", True),
    **dict.fromkeys(("messages", "tools", "functions"), ("array", False)),
    **dict.fromkeys(("model", "user"), ("string", False)),
    "parallel_tool_calls": ("boolean", False),
    **dict.fromkeys(("tool_choice", "function_call"), ("string or object", False)),
    **dict.fromkeys(("prompt_cache_options", "response_format", "web_search_options"), ("object", False)),
}
# [P]: the values that a string parameter may have.
_VALUES = {
    "reasoning_effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "service_tier": ("auto", "default", "flex", "scale", "priority", "fast"),
    "prompt_cache_retention": ("in_memory", "24h"),
    "verbosity": ("low", "medium", "high"),
}
# [P]: least and most.
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "max_tokens": (1, float("inf")),
    "max_completion_tokens": (1, float("inf")),
    "n": (1, 128),
    "top_logprobs": (0, 20),
}
# [P]: the content parts that each role may hold (`chat_completion_*_message_param.py`).
_PARTS = {
    "developer": ("text",),
    "system": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
    "function": ("text",),
}
# [P]: what each JSON type is in Python.
_PYTHON: dict[str, type | tuple[type, ...]] = {
    "decimal": (int, float),
    "integer": int,
    "boolean": bool,
    "string": str,
    "object": dict,
    "array": list,
}


def check(body: Body) -> None:
    """Raise the first refusal, as the API does."""
    try:
        for rule in RULES:
            rule(body)
    except (AttributeError, KeyError, TypeError) as error:  # a shape that no rule expects, as a string for a message
        raise Refused(f"Invalid type: {error}", None, "invalid_type") from error


def _unknown_parameters(body: Body) -> None:
    """[R] `elevenlabs_extra_body`, `user_id` and the like must never reach OpenAI."""
    for name in body:
        if name not in _TYPES:
            raise Refused(f"Unrecognized request argument supplied: {name}")


def _required(body: Body) -> None:
    """[P] The model and the messages."""
    for name in ("model", "messages"):
        if name not in body:
            raise Refused(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")


def _types(body: Body) -> None:
    """[P], [R] Every value has its type; null only where the SDK's types allow it."""
    for name, value in body.items():
        wanted, nullable = _TYPES[name]
        if not (nullable if value is None else any(_is(value, kind) for kind in wanted.split(" or "))):
            got = "null" if value is None else f"a {type(value).__name__}"
            raise Refused(f"Invalid type for '{name}': expected a {wanted}, but got {got}.", name, "invalid_type")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _PYTHON[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _values(body: Body) -> None:
    """[P], [R] Words of a fixed set."""
    for name, values in _VALUES.items():
        if body.get(name) is not None:
            _one_of(body[name], values, name)


def _one_of(value: Any, values: tuple[str, ...], param: str) -> None:
    if value not in values:
        known = ", ".join(f"'{each}'" for each in values)
        raise Refused(f"Invalid value: '{value}'. Supported values are: {known}.", param, "invalid_value")


def _ranges(body: Body) -> None:
    """[P], [R] ElevenLabs' `max_tokens: -1` is one of these."""
    for name, (least, most) in _RANGES.items():
        value = body.get(name)
        if value is None or least <= value <= most:
            continue
        kind, side, sign, bound = _TYPES[name][0], *(("below_min", ">=", least) if value < least else ("", "<=", most))
        where = "below minimum" if side else "above maximum"
        message = f"Invalid '{name}': {kind} {where} value. Expected a value {sign} {bound}, but got {value} instead."
        raise Refused(message, name, f"{kind}_{side or 'above_max'}_value")


def _both_limits(body: Body) -> None:
    """[R] One limit of tokens, not two."""
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refused(message, "max_tokens", "invalid_parameter_combination")


def _stop(body: Body) -> None:
    """[P] Up to 4 sequences."""
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        message = f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got {len(stop)}."
        raise Refused(message, "stop", "array_above_max_length")
    if isinstance(stop, list) and not all(isinstance(each, str) for each in stop):
        raise Refused("Invalid type for 'stop': expected an array of strings.", "stop", "invalid_type")


def _needs(body: Body) -> None:
    """[P], [R] Parameters that have a meaning only beside another one."""
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body and not body.get("tools"):
            message = f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
            raise Refused(message, name)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refused("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs")


def _tools(body: Body) -> None:
    """[P], [R] Tools and the choice among them."""
    if "tools" in body:
        _not_empty(body["tools"], "tools")
    for at, tool in enumerate(body.get("tools", [])):
        _one_of(tool.get("type"), ("function", "custom"), f"tools[{at}].type")
        param = f"tools[{at}].{tool['type']}.name"
        name = tool.get(tool["type"], {}).get("name")
        if name is None:
            raise Refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        _matches(name, r"^[a-zA-Z0-9_-]{1,64}$", param)
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        _one_of(choice, ("none", "auto", "required"), "tool_choice")
    elif choice is not None:
        _one_of(choice.get("type"), ("function", "custom", "allowed_tools"), "tool_choice.type")


def _matches(text: str, pattern: str, param: str) -> None:
    if not re.match(pattern, text):
        message = f"Invalid '{param}': string does not match pattern. Expected a string that matches '{pattern}'."
        raise Refused(message, param, "invalid_value")


def _not_empty(array: list[Any], param: str) -> None:
    if not array:
        message = f"Invalid '{param}': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Refused(message, param, "empty_array")


def _response_format(body: Body) -> None:
    """[P] One of three formats."""
    if "response_format" in body:
        wanted = body["response_format"]
        _one_of(wanted.get("type"), ("json_object", "json_schema", "text"), "response_format.type")
        if wanted["type"] == "json_schema" and "name" not in wanted.get("json_schema", {}):
            param = "response_format.json_schema.name"
            raise Refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def _messages(body: Body) -> None:
    """[P], [R] Each message by itself; `_tool_results` sees them together."""
    _not_empty(body["messages"], "messages")
    for at, message in enumerate(body["messages"]):
        _one_of(message.get("role"), tuple(_PARTS), f"messages[{at}].role")
        if message.get("name") is not None:
            _matches(message["name"], r"^[^\s<|\\/>]+$", f"messages[{at}].name")
        for index, call in enumerate(_calls(message, at)):
            for key in ("id", "type", "function"):
                if key not in call:
                    param = f"messages[{at}].tool_calls[{index}].{key}"
                    raise Refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        _content(message, f"messages.[{at}].content")


def _calls(message: Body, at: int) -> list[Body]:
    calls: list[Body] | None = message.get("tool_calls")
    if calls is None:
        return []
    _not_empty(calls, f"messages[{at}].tool_calls")
    return calls


def _content(message: Body, param: str) -> None:
    content = message.get("content")
    if content is None:
        # [P] Only an assistant that calls a tool, or refused, may have said nothing.
        if message["role"] != "assistant" or not (message.get("tool_calls") or message.get("refusal")):
            raise Refused("Invalid value for 'content': expected a string, got null.", param)
    elif isinstance(content, list):
        _not_empty(content, param)
        for index, part in enumerate(content):
            _one_of(part.get("type"), _PARTS[message["role"]], f"{param}[{index}].type")
    elif not isinstance(content, str):
        raise Refused("Invalid type for 'content': expected a string or an array.", param, "invalid_type")


def _tool_results(body: Body) -> None:
    """[R] A barge-in during a tool call leaves a call without its result, and every later turn fails."""
    waiting: set[str] = set()
    for at, message in enumerate([*body["messages"], {"role": "end"}]):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise Refused(f"Invalid parameter: {text}", f"messages.[{at}].role")
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            raise Refused(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                "'tool_call_id'. The following tool_call_ids did not have response messages: "
                + ", ".join(sorted(waiting)),
                f"messages.[{at}].role",
            )
        waiting = {call["id"] for call in message.get("tool_calls") or []}


def _no_such_model(body: Body) -> None:
    """[R] 404 for a name that nobody knows."""
    if body["model"].startswith("no-such"):
        message = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise Refused(message, None, "model_not_found", 404)


def _reasoning_models(body: Body) -> None:
    """[F] GPT-5 and later, and the o-series: `max_completion_tokens`, and the default temperature alone."""
    model, effort, temperature = body["model"], body.get("reasoning_effort"), body.get("temperature")
    if not model.startswith(("gpt-5", "gpt-6", "o1", "o3", "o4")):
        return
    if body.get("max_tokens") is not None:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. "
        raise Refused(f"{message}Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter")
    if temperature is not None and model.startswith("gpt-6"):
        message = "Unsupported parameter: 'temperature' is not supported with this model."
        raise Refused(message, "temperature", "unsupported_parameter")
    if temperature not in (None, 1) and effort != "none":
        message = f"Unsupported value: 'temperature' does not support {temperature} with this model. "
        raise Refused(f"{message}Only the default (1) value is supported.", "temperature", "unsupported_value")


def _tools_while_reasoning(body: Body) -> None:
    """[F], [R] langflow#14361, onyx#15008, pipecat#4043; gpt-5.6 refuses its own default effort too: joplin#16451."""
    model, effort = body["model"], body.get("reasoning_effort")
    default = "medium" if model.startswith("gpt-5.6") else "none"
    if body.get("tools") and model.startswith(("gpt-5.4", "gpt-5.6", "gpt-6")) and (effort or default) != "none":
        raise Refused(
            f"Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. "
            "To use function tools, use /v1/responses or set reasoning_effort to 'none'.",
            "reasoning_effort",
        )


def _effort_without_reasoning(body: Body) -> None:
    """[R] GPT-4 models do not know the parameter; ElevenLabs sends `"none"` whatever the model."""
    if body["model"].startswith("gpt-4") and body.get("reasoning_effort") is not None:
        raise Refused("Unrecognized request argument supplied: reasoning_effort")


def _rules() -> Iterator[Callable[[Body], None]]:
    yield from (_unknown_parameters, _required, _types, _no_such_model, _values, _ranges, _both_limits, _stop, _needs)
    yield from (_tools, _response_format, _messages, _tool_results)
    yield from (_reasoning_models, _tools_while_reasoning, _effort_without_reasoning)


RULES = tuple(_rules())

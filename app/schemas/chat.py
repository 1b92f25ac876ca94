"""The body of a Chat Completions request, from wire JSON to a TurnRequest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.domain.errors import InvalidRequest
from app.domain.request import TurnRequest
from app.schemas.fields import Flag, Object, Whole
from app.schemas.messages import Messages, ToolChoice, Tools
from app.schemas.params import ParamsSchema, set_params


class StreamOptionsSchema(Schema):
    """`stream_options`: whether the caller wants the usage chunk."""

    class Meta:
        unknown = EXCLUDE

    include_usage = Flag(allow_none=True)
    include_obfuscation = Flag(allow_none=True)


class ChatSchema(ParamsSchema):
    """Chat Completions as OpenAI documents it, with ElevenLabs' own fields. Unknown fields are ignored."""

    class Meta:
        unknown = EXCLUDE

    model = fields.String(required=True, validate=validate.Length(min=1, max=256))
    messages = Messages(required=True)
    tools = Tools(allow_none=True)
    tool_choice = ToolChoice(allow_none=True)
    stream = Flag(allow_none=True)
    stream_options = fields.Nested(StreamOptionsSchema, allow_none=True)
    n = Whole(1, 1, allow_none=True, error_messages={"invalid": "Expected 1."})
    user_id = fields.String(allow_none=True)
    elevenlabs_extra_body = Object(allow_none=True)
    functions = fields.Field[Any](
        allow_none=True, validate=validate.Equal([], error="functions is no longer supported: use tools.")
    )
    function_call = fields.Field[Any](
        allow_none=True, validate=validate.Equal("none", error="function_call is no longer supported: use tool_choice.")
    )
    audio = fields.Field[Any](allow_none=True, validate=validate.Equal(None, error="Audio answers are not supported."))


CHAT = ChatSchema()


def load_request(
    body: Any,
    *,
    request_id: str,
    conversation_id: str | None = None,
    conversation_id_fields: Sequence[str] = (),
    max_tokens_limit: int | None = None,
) -> TurnRequest:
    """Return the turn that a decoded body asks for; raises InvalidRequest, whose `param` is the path of the field.

    The conversation is `conversation_id`, which a header gave, else the first of `conversation_id_fields` that
    elevenlabs_extra_body has (ElevenLabs sends neither unless the agent is set up to).
    """
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        loaded: dict[str, Any] = CHAT.load(body)
    except ValidationError as error:
        raise _invalid(error) from None
    extra = loaded.get("elevenlabs_extra_body") or {}
    return TurnRequest(
        model=loaded["model"],
        messages=loaded["messages"],
        tools=loaded.get("tools") or [],
        tool_choice=loaded.get("tool_choice"),
        params=_params(loaded, max_tokens_limit),
        stream=bool(loaded.get("stream")),
        include_usage=bool((loaded.get("stream_options") or {}).get("include_usage")),
        request_id=request_id,
        conversation_id=conversation_id or _named_in(extra, conversation_id_fields),
        extra=extra,
    )


def _params(loaded: dict[str, Any], max_tokens_limit: int | None) -> dict[str, Any]:
    params = set_params(loaded)
    if loaded.get("user_id"):
        params.setdefault("user", loaded["user_id"])
    if max_tokens_limit is not None and params.get("max_tokens", 0) > max_tokens_limit:
        raise InvalidRequest(f"max_tokens may be at most {max_tokens_limit} on this server.", param="max_tokens")
    return params


def _named_in(extra: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((str(extra[name]) for name in names if extra.get(name)), None)


def _invalid(error: ValidationError) -> InvalidRequest:
    path, reason = next(_flat(error.messages))
    return InvalidRequest(f"Invalid value for '{path}': {reason}" if path else reason, param=path or None)


def _flat(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each error with the path of its field, as OpenAI writes it: `messages[2].content`."""
    if not isinstance(messages, dict):
        yield path, messages[0] if isinstance(messages, list) else str(messages)
        return
    for key, inner in messages.items():
        if isinstance(key, int):
            step = f"[{key}]"
        else:
            step = f".{key}" if path else str(key)
        yield from _flat(inner, path + step)

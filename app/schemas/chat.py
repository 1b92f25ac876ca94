"""The body of a Chat Completions request, from wire JSON to a TurnRequest."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.domain import telling
from app.domain.errors import InvalidRequest
from app.domain.request import Caching, TurnRequest
from app.schemas.fields import Flag, Object, Only
from app.schemas.messages import Messages, ToolChoice, Tools
from app.schemas.params import ParamsSchema, set_params
from app.schemas.reasons import reasons


class StreamOptionsSchema(Schema):
    """`stream_options`: whether the caller wants the usage chunk."""

    class Meta:
        unknown = EXCLUDE

    error_messages = {"type": "Expected an object."}  # noqa: RUF012 (marshmallow's own way)

    include_usage = Flag(allow_none=True)
    include_obfuscation = Flag(allow_none=True)


LONGEST_MODEL = 256


class ChatSchema(ParamsSchema):
    """Chat Completions as OpenAI documents it, with ElevenLabs' own fields. Unknown fields are ignored."""

    class Meta:
        unknown = EXCLUDE

    model = fields.String(required=True, validate=validate.Length(min=1, max=LONGEST_MODEL))
    messages = Messages(required=True)
    tools = Tools(allow_none=True)
    tool_choice = ToolChoice(allow_none=True)
    stream = Flag(allow_none=True)
    stream_options = fields.Nested(StreamOptionsSchema, allow_none=True)
    n = Only(1, error="Only one choice is supported.")
    user_id = fields.String(allow_none=True, metadata={"description": "ElevenLabs' name for `user`."})
    elevenlabs_extra_body = Object(
        allow_none=True,
        metadata={"description": "Custom LLM extra body of the agent: not passed on."},
    )
    functions = Only([], error="functions is no longer supported: use tools.")
    function_call = Only("none", error="function_call is no longer supported: use tool_choice.")
    audio = Only(None, error="Audio answers are not supported.")


CHAT = ChatSchema()

LONGEST_ID = 256
LONGEST_PATH = 200
"""What stands in every line of the log is not as long as a caller likes."""

REQUIRED = [name for name, field in CHAT.load_fields.items() if field.required]


def load_request(
    body: Any,
    *,
    request_id: str,
    caller: str = "",
    conversation_id: str | None = None,
    traceparent: str | None = None,
    conversation_id_fields: Sequence[str] = (),
    caching: Caching = "full",
    max_tokens_limit: int | None = None,
) -> TurnRequest:
    """Return the turn that a decoded body asks for; raises InvalidRequest, whose `param` is the path of the field.

    The conversation is `conversation_id`, which a header gave, else the first of `conversation_id_fields` that
    elevenlabs_extra_body has (ElevenLabs sends neither unless the agent is set up to).
    """
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        loaded = fields_of(body)
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
        caller=caller,
        conversation_id=(conversation_id or "")[:LONGEST_ID] or _named_in(extra, conversation_id_fields),
        traceparent=traceparent,
        extra=extra,
        caching=caching,
    )


def fields_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body's known fields, each as the schema has it; raises ValidationError with all that is wrong.

    What `CHAT.load` does of itself takes 100 calls more: it asks for what is absent, and if the body is a generator.
    """
    fields = CHAT.load_fields
    if missing := [name for name in REQUIRED if name not in body]:
        raise ValidationError({name: [fields[name].error_messages["required"]] for name in missing})
    loaded: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for name in fields:
        if name in body:
            try:
                loaded[name] = fields[name].deserialize(body[name], name, body, partial=True)
            except ValidationError as error:
                wrong[name] = error.messages
    if wrong:
        raise ValidationError(wrong)
    return loaded


def sketch(
    asked: Any, *, conversation_id: str | None = None, conversation_id_fields: Sequence[str] = ()
) -> TurnRequest:
    """Return what can be told of a request that may not be valid: its model, its conversation, if it is streamed.

    `asked` is the TurnRequest that it became, its decoded body, or None.
    """
    if isinstance(asked, TurnRequest):
        return asked
    body: Mapping[str, Any] = asked if isinstance(asked, dict) else {}
    model, extra = body.get("model"), body.get("elevenlabs_extra_body")
    return TurnRequest(
        model=model if isinstance(model, str) and len(model) <= LONGEST_MODEL else "",
        messages=[],
        stream=body.get("stream") is True,
        conversation_id=conversation_id or _named_in(extra if isinstance(extra, dict) else {}, conversation_id_fields),
    )


def _params(loaded: dict[str, Any], max_tokens_limit: int | None) -> dict[str, Any]:
    params = set_params(loaded)
    if loaded.get("user_id"):
        params.setdefault("user", loaded["user_id"])
    for name in ("max_tokens", "max_completion_tokens"):
        if max_tokens_limit is not None and (loaded.get(name) or 0) > max_tokens_limit:
            raise InvalidRequest(f"{name} may be at most {max_tokens_limit} on this server.", param=name)
    return params


def _named_in(extra: Mapping[str, Any], names: Sequence[str]) -> str | None:
    if not extra:
        return None
    found = (extra.get(name) for name in names)
    return next((str(value)[:LONGEST_ID] for value in found if value and type(value) in (str, int)), None)


def _invalid(error: ValidationError) -> InvalidRequest:
    path, reason = next(reasons(error.messages))
    path = path[:LONGEST_PATH]  # names in it may be the caller's own, of any length
    message = f"Invalid value for '{path}': {reason}" if path else reason
    return InvalidRequest(message, param=path or None, detail=telling.of(None, path, reason))

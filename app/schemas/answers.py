"""What the server answers, for its OpenAPI document alone: answers are built by hand, and tests hold them to this."""

from typing import get_args

from marshmallow import EXCLUDE, Schema, fields

from app.domain.events import FinishReason
from app.domain.turn import End, Outcome
from app.schemas.fields import Flag, Number, Object, OneOf, Whole

FINISH_REASONS = get_args(FinishReason)


class AnswerSchema(Schema):
    """An object to which later versions may add fields."""

    class Meta:
        unknown = EXCLUDE


class ErrorDetailSchema(AnswerSchema):
    """What went wrong. `param` is the path of the field at fault, such as `messages[2].content`."""

    message = fields.String(required=True)
    type = OneOf("invalid_request_error", "rate_limit_error", "server_error", required=True)
    param = fields.String(required=True, allow_none=True)
    code = fields.String(required=True, allow_none=True)


class ErrorSchema(AnswerSchema):
    """Any error, in OpenAI's shape. In a stream that breaks off it is the last event."""

    error = fields.Nested(ErrorDetailSchema, required=True)


class PromptTokensSchema(AnswerSchema):
    """Of which the prompt's tokens are."""

    cached_tokens = Whole(0, required=True)
    audio_tokens = Whole(0, required=True)


class CompletionTokensSchema(AnswerSchema):
    """Of which the answer's tokens are."""

    reasoning_tokens = Whole(0, required=True)
    audio_tokens = Whole(0, required=True)


class UsageSchema(AnswerSchema):
    """The tokens of a turn."""

    prompt_tokens = Whole(0, required=True)
    completion_tokens = Whole(0, required=True)
    total_tokens = Whole(0, required=True)
    prompt_tokens_details = fields.Nested(PromptTokensSchema, required=True)
    completion_tokens_details = fields.Nested(CompletionTokensSchema, required=True)


class CalledFunctionSchema(AnswerSchema):
    """A function that the model calls; `arguments` is JSON text."""

    name = fields.String(required=True)
    arguments = fields.String(required=True)


class ToolCallSchema(AnswerSchema):
    """A tool call of an answer."""

    id = fields.String(required=True)
    type = OneOf("function", required=True)
    function = fields.Nested(CalledFunctionSchema, required=True)


class AnswerMessageSchema(AnswerSchema):
    """The words and the tool calls of an answer."""

    role = OneOf("assistant", required=True)
    content = fields.String(required=True, allow_none=True)
    refusal = fields.String(required=True, allow_none=True)
    tool_calls = fields.List(fields.Nested(ToolCallSchema))
    reasoning_content = fields.String(metadata={"description": "Where the route asks for it."})


class ChoiceSchema(AnswerSchema):
    """The one answer."""

    index = Whole(0, 0, required=True)
    message = fields.Nested(AnswerMessageSchema, required=True)
    logprobs = Object(required=True, allow_none=True)
    finish_reason = OneOf(*FINISH_REASONS, required=True)


class CompletionSchema(AnswerSchema):
    """An answer that is not streamed. `usage` is there where the model's side counted."""

    id = fields.String(required=True)
    object = OneOf("chat.completion", required=True)
    created = Whole(0, required=True)
    model = fields.String(required=True)
    choices = fields.List(fields.Nested(ChoiceSchema), required=True)
    usage = fields.Nested(UsageSchema)
    service_tier = fields.String()
    system_fingerprint = fields.String()


class FunctionPieceSchema(AnswerSchema):
    """More of a call's arguments; the first piece of a call has its name."""

    name = fields.String()
    arguments = fields.String(required=True)


class ToolCallPieceSchema(AnswerSchema):
    """A piece of the tool call of this index; the first one has its id."""

    index = Whole(0, required=True)
    id = fields.String()
    type = OneOf("function")
    function = fields.Nested(FunctionPieceSchema, required=True)


class DeltaSchema(AnswerSchema):
    """What a chunk adds to the answer."""

    role = OneOf("assistant")
    content = fields.String()
    refusal = fields.String(allow_none=True)
    tool_calls = fields.List(fields.Nested(ToolCallPieceSchema))
    reasoning_content = fields.String(metadata={"description": "Where the route asks for it."})


class ChunkChoiceSchema(AnswerSchema):
    """A chunk's part of the one answer."""

    index = Whole(0, 0, required=True)
    delta = fields.Nested(DeltaSchema, required=True)
    logprobs = Object(required=True, allow_none=True)
    finish_reason = OneOf(*FINISH_REASONS, required=True, allow_none=True)


class ChunkSchema(AnswerSchema):
    """One event of a streamed answer. The last one has no choices but the usage, if that was asked for."""

    id = fields.String(required=True)
    object = OneOf("chat.completion.chunk", required=True)
    created = Whole(0, required=True)
    model = fields.String(required=True)
    choices = fields.List(fields.Nested(ChunkChoiceSchema), required=True)
    usage = fields.Nested(UsageSchema, allow_none=True)
    service_tier = fields.String()
    system_fingerprint = fields.String()


class ModelSchema(AnswerSchema):
    """A route or a provider's model."""

    id = fields.String(required=True)
    object = OneOf("model", required=True)
    created = Whole(0, required=True)
    owned_by = fields.String(required=True)


class ModelListSchema(AnswerSchema):
    """All models that can be asked for."""

    object = OneOf("list", required=True)
    data = fields.List(fields.Nested(ModelSchema), required=True)


class TokensSchema(AnswerSchema):
    """What a turn or an attempt cost, as far as is known; `estimated` where the provider did not count."""

    prompt_tokens = Whole(0, required=True)
    completion_tokens = Whole(0, required=True)
    cached_tokens = Whole(0, required=True)
    cache_write_tokens = Whole(0, required=True)
    reasoning_tokens = Whole(0, required=True)
    estimated = Flag(required=True)


class AttemptSchema(AnswerSchema):
    """One upstream call of a turn."""

    target = fields.String(required=True)
    began_ms = Number(required=True)
    duration_ms = Number(0, required=True)
    outcome = OneOf(*get_args(Outcome), required=True)
    error = fields.String()
    upstream_status = Whole()
    response_model = fields.String()
    usage = fields.Nested(TokensSchema)


class RecordedTurnSchema(AnswerSchema):
    """A turn on record: the fields of its line in the log, and an id."""

    id = fields.String(required=True)
    object = OneOf("turn", required=True)
    began_at = Number(0, required=True)
    request_id = fields.String(required=True)
    conversation_id = fields.String(required=True, allow_none=True)
    key = fields.String(required=True, allow_none=True)
    model = fields.String(required=True)
    route = fields.String(required=True, allow_none=True)
    stream = Flag(required=True)
    end = OneOf(*get_args(End), required=True)
    status = Whole(100, 599, required=True)
    target = fields.String(required=True, allow_none=True)
    attempts = fields.List(fields.Nested(AttemptSchema), required=True)
    error = fields.String(required=True, allow_none=True)
    finish_reason = OneOf(*FINISH_REASONS, required=True, allow_none=True)
    text_chars = Whole(0, required=True)
    tool_calls = Whole(0, required=True)
    resumes = Whole(0, required=True)
    fillers = Whole(0, required=True)
    apologised = Flag(required=True)
    shares = fields.String(required=True, allow_none=True)
    cache = OneOf("hit", "miss", required=True, allow_none=True)
    traceparent = fields.String(required=True, allow_none=True)
    first_byte_ms = Number(required=True, allow_none=True)
    first_speakable_ms = Number(required=True, allow_none=True)
    first_sentence_ms = Number(required=True, allow_none=True)
    largest_gap_ms = Number(required=True, allow_none=True)
    overhead_ms = Number(required=True, allow_none=True)
    cancel_ms = Number(required=True, allow_none=True)
    total_ms = Number(0, required=True)
    usage = fields.Nested(TokensSchema, required=True, allow_none=True)
    cost_usd = Number(0, required=True, allow_none=True)


class TurnListSchema(AnswerSchema):
    """A page of recorded turns, the newest first; the next page is that `after` its `last_id`."""

    object = OneOf("list", required=True)
    data = fields.List(fields.Nested(RecordedTurnSchema), required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)
    has_more = Flag(required=True)


class HealthSchema(AnswerSchema):
    """The process is up."""

    status = OneOf("healthy", required=True)
    version = fields.String(required=True)


class ProviderStateSchema(AnswerSchema):
    """Whether a provider can be used, and if not, why."""

    usable = Flag(required=True)
    reason = fields.String()


class ReadinessSchema(AnswerSchema):
    """Whether a turn can be answered, each provider's state, and that of the store where there is one."""

    status = OneOf("ready", "degraded", "not_ready", "draining", required=True)
    providers = fields.Dict(keys=fields.String(), values=fields.Nested(ProviderStateSchema), required=True)
    store = OneOf("up", "down")

"""Chat Completions both ways, as pure functions: a turn's request to a body, a stream's payloads to events."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from app.domain.errors import ProviderBroken
from app.domain.events import Event, Finish, FinishReason, Reasoning, Refusal, Start, Text, ToolCall, Usage
from app.domain.request import JSON, TurnRequest
from app.providers import failures
from app.providers.calls import ToolCalls
from app.providers.openai.models import ModelFacts, facts_of

Dialect = Literal["openai", "compatible"]

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""What is not named here, nor in `BROKEN_OFF`, is taken as `stop`."""

BROKEN_OFF = {"error", "network_error", "insufficient_system_resource"}
"""Words of OpenRouter and Mistral, of Zhipu and of DeepSeek for an answer that failed: never a clean end."""

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias")

LONGEST_CACHE_KEY = 64


def to_body(request: TurnRequest, model: str, dialect: Dialect) -> JSON:
    """Return the JSON body that asks `model` for this turn, always streamed and with usage.

    `openai` is OpenAI's own dialect, in which each model gets what it takes. Other servers know only the older words.
    """
    body: JSON = {"model": model, "messages": request.messages, **request.params}
    stream_options: JSON = {"include_usage": True}
    if request.tools:
        body["tools"] = request.tools
        if request.tool_choice is not None:
            body["tool_choice"] = request.tool_choice
    else:
        body.pop("parallel_tool_calls", None)
    if dialect == "openai":
        stream_options["include_obfuscation"] = False
        _fit(body, facts_of(model))
        if request.conversation_id:
            # A call's turns share a prefix: the same key leads them to the same cache.
            body.setdefault("prompt_cache_key", _cache_key(request.conversation_id))
    body["stream"] = True
    body["stream_options"] = stream_options
    return body


def _fit(body: JSON, facts: ModelFacts) -> None:
    """Leave out, or put mildly, what this model refuses."""
    if "max_tokens" in body:
        # Every model takes the newer name; GPT-5 and later refuse the older.
        body["max_completion_tokens"] = body.pop("max_tokens")
    effort = facts.effort(body.pop("reasoning_effort", None), with_tools="tools" in body)
    if effort is not None:
        body["reasoning_effort"] = effort
    if facts.sampling == "never" or (facts.sampling == "without_effort" and effort != "none"):
        for name in SAMPLING:
            body.pop(name, None)


def _cache_key(conversation_id: str) -> str:
    if len(conversation_id) <= LONGEST_CACHE_KEY:
        return conversation_id
    return hashlib.sha256(conversation_id.encode()).hexdigest()


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[_ToolCall | None] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    id: Any = None


class _FirstChunk(_Chunk, gc=False):
    """The one that is asked who speaks; of all that follow, that is not even read."""

    model: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_first = msgspec.json.Decoder(_FirstChunk).decode


class AnswerReader:
    """Reads one streamed answer."""

    def __init__(self) -> None:
        self.done = False
        self._started = False
        self._finished = False
        self._calls = ToolCalls()
        self._usage: Any = None

    def read(self, payload: bytes) -> Iterable[Event]:
        """Return the events of one payload; raises ProviderError for an error in the stream, or what is no chunk."""
        if payload[:6] == b"[DONE]":
            self.done = True
            return ()
        try:
            chunk = _decode(payload) if self._started else _decode_first(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProviderBroken(detail="not a chunk") from error
        if chunk.error is not None:
            raise failure_in_stream(chunk.error)
        if chunk.usage is not None:
            # Some servers count in every chunk; the last one holds.
            self._usage = chunk.usage
        if chunk.choices and self._started and not self._finished:
            choice = chunk.choices[0]
            delta = choice.delta
            # Words and nothing else, as nearly every chunk is: no generator is made for it.
            if (
                delta is not None
                and type(delta.content) is str
                and delta.content
                and not (
                    delta.tool_calls
                    or delta.reasoning_content
                    or delta.reasoning
                    or delta.refusal
                    or choice.finish_reason
                )
            ):
                return (Text(delta.content, choice.logprobs if isinstance(choice.logprobs, dict) else None),)
        return self._events(chunk, payload)

    def _events(self, chunk: _Chunk, payload: bytes) -> Iterator[Event]:
        if chunk.choices is None and b'"error"' in payload:
            _raise_bare_error(payload)
        if isinstance(chunk, _FirstChunk) and (chunk.id or chunk.choices):  # Azure's first chunk has neither
            self._started = True
            yield Start(
                *(value if isinstance(value, str) else "" for value in (chunk.id, chunk.model)),
                *(
                    value if isinstance(value, str) else None
                    for value in (chunk.system_fingerprint, chunk.service_tier)
                ),
            )
        if chunk.choices and not self._finished:
            choice = chunk.choices[0]
            if choice.delta is not None:
                yield from self._delta(choice.delta, choice.logprobs)
            if choice.finish_reason:
                yield from self._finish(choice.finish_reason)

    def finish(self) -> Iterator[Event]:
        """Yield what the end of the stream adds: the usage, and the finish that a bare `[DONE]` stands for."""
        if not self._finished:
            if not self.done:
                raise ProviderBroken(detail="the stream ended without a finish_reason")
            yield from self._finish("stop")
        with contextlib.suppress(msgspec.ValidationError):  # a count that is none does not spoil an answer
            if self._usage is not None:
                yield _usage(msgspec.convert(self._usage, _Usage, strict=False))

    def _delta(self, delta: _Delta, logprobs: Any) -> Iterator[Event]:
        if delta.content:
            # Some servers send a list of parts, as a request may.
            text = delta.content if isinstance(delta.content, str) else _text_of_parts(delta.content)
            if text:
                yield Text(text, logprobs if isinstance(logprobs, dict) else None)
        if delta.tool_calls:
            yield from self._tool_calls(delta.tool_calls)
        if (reasoning := delta.reasoning_content or delta.reasoning) and isinstance(reasoning, str):
            yield Reasoning(reasoning)
        if delta.refusal:
            yield Refusal(delta.refusal)

    def _tool_calls(self, pieces: list[_ToolCall | None]) -> Iterator[ToolCall]:
        for position, piece in enumerate(pieces):
            if piece is None:
                continue
            function = piece.function or _Function()
            key = position if piece.index is None else piece.index
            event = self._calls.piece(key, piece.id, function.name, _arguments(function.arguments))
            if event is not None:
                yield event

    def _finish(self, reason: str) -> Iterator[Event]:
        if reason in BROKEN_OFF:
            raise ProviderBroken(detail=f"finish_reason {reason}")
        self._finished = True
        yield from self._calls.finish()
        ours = FINISH_REASONS.get(reason, "stop")
        # Case 29: an answer with tool calls ends so, unless it was cut.
        yield Finish("tool_calls" if self._calls and ours == "stop" else ours)


def _raise_bare_error(payload: bytes) -> None:
    """Raise the error that stands in an event by itself, without `error` around it, as vLLM and Mistral put it."""
    fields = msgspec.json.decode(payload)
    if fields.get("object") == "error":
        raise failure_in_stream(fields)


def failure_in_stream(error: Any) -> Exception:
    """Return the error for an `error` object that came as an event; it has no HTTP status of its own."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    code = fields.get("code")
    if isinstance(code, int):
        status = code
    else:
        # OpenAI's rate limits have the type "tokens" or "requests", and say what they are in the code.
        status = _STATUSES.get(str(code)) or _STATUSES.get(str(fields.get("type")), 500)
    return failures.from_status(status, str(fields.get("message") or ""), code=code if isinstance(code, str) else None)


_STATUSES = {
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded": 503,
}
"""The statuses that an error's code or type stands for."""


def _text_of_parts(parts: list[dict[str, Any]]) -> str:
    return "".join(text for part in parts if part.get("type") == "text" and isinstance(text := part.get("text"), str))


def _arguments(arguments: str | dict[str, Any] | None) -> str:
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return arguments or ""


def _usage(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=usage.completion_tokens or 0,
        cached_tokens=(prompt and prompt.cached_tokens) or 0,
        reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
    )

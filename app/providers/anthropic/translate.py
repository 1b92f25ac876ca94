"""Chat Completions on the Messages API, both ways, as pure functions; case numbers are those of docs/anthropic.md."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from app.domain.errors import ProviderBroken, ProviderRequestRefused
from app.domain.events import Event, Finish, FinishReason, Reasoning, Start, Text, Usage
from app.domain.request import JSON, Message, Tool, TurnRequest
from app.providers import failures
from app.providers.anthropic.content import to_system, to_turns
from app.providers.anthropic.models import ModelFacts
from app.providers.anthropic.names import fitting
from app.providers.anthropic.schema import as_object
from app.providers.calls import ToolCalls

DEFAULT_MAX_TOKENS = 4096
"""More than any spoken answer; Anthropic wants a figure (20)."""

LEAST_BYTES_PER_TOKEN = 2

CACHED: JSON = {"type": "ephemeral"}

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "refusal": "content_filter",
}
"""Case 29. What is not named here is taken as `stop`."""


def to_body(request: TurnRequest, model: str, facts: ModelFacts) -> JSON:
    """Return the JSON body that asks `model` for this turn, streamed.

    Left out, because Anthropic has no such thing or refuses it: sampling parameters (21), penalties, seed, logprobs,
    logit_bias. Raises ContentNotTaken for content that cannot be translated.
    """
    system, conversation = to_system(request.messages)
    params = request.params
    body: JSON = {
        "model": model,
        "max_tokens": min(params.get("max_tokens", DEFAULT_MAX_TOKENS), facts.max_tokens),
        "messages": to_turns(
            conversation,
            first_index=len(request.messages) - len(conversation),
            prefill=facts.prefill,
            system_turns=facts.system_turns,
        ),
        "stream": True,
    }
    tools = _tools(request.tools, request.messages)
    if tools:
        body["tools"] = tools
        choice, instruction = _tool_choice(request, facts)
        if choice:
            body["tool_choice"] = choice
        system += instruction
    _set_format(body, system, params.get("response_format"), facts)
    if system:
        body["system"] = system
    if stops := _stop_sequences(params.get("stop")):
        body["stop_sequences"] = stops
    if user := params.get("user"):
        # It may not be an e-mail address or a telephone number (23).
        body["metadata"] = {"user_id": hashlib.sha256(user.encode()).hexdigest()}
    _set_thinking(body, params.get("reasoning_effort"), facts)
    if request.prompt_caching:
        _mark_cached(body, facts)
    return body


def _tools(tools: list[Tool], messages: list[Message]) -> list[JSON]:
    if tools:
        first_of_name: dict[str, Tool] = {}  # a name that stands twice is refused
        for tool in tools:
            first_of_name.setdefault(tool["function"]["name"], tool)
        return [_tool(tool) for tool in first_of_name.values()]
    # Calls in the history are refused where no tool is declared (17); tool_choice `none` keeps them from being called.
    called = [call["function"]["name"] for message in messages for call in message.get("tool_calls") or []]
    return [{"name": fitting(name), "input_schema": as_object(None)} for name in dict.fromkeys(called)]


def _tool(tool: Tool) -> JSON:
    function = tool["function"]
    translated: JSON = {"name": fitting(function["name"]), "input_schema": as_object(function.get("parameters"))}
    if description := function.get("description"):
        translated["description"] = description
    if function.get("strict"):
        translated["strict"] = True
    return translated


def _tool_choice(request: TurnRequest, facts: ModelFacts) -> tuple[JSON | None, list[JSON]]:
    """Return Anthropic's tool_choice (18), and what to say in the system prompt where it cannot be forced (19)."""
    choice: JSON | None = None
    instruction: list[JSON] = []
    asked = request.tool_choice
    if asked == "none" or not request.tools:
        return {"type": "none"}, []
    if asked == "auto":
        choice = {"type": "auto"}
    elif asked is not None:
        name = fitting(_declared(asked["function"]["name"], request.tools)) if isinstance(asked, dict) else None
        thinks = bool(facts.thinking_off) and _wants_effort(request.params.get("reasoning_effort"))
        if facts.forced_tool and not thinks:
            choice = {"type": "tool", "name": name} if name else {"type": "any"}
        else:
            choice = {"type": "auto"}
            instruction = [_instruction(f"Call the tool {name} now." if name else "Call one of the tools now.")]
    if request.params.get("parallel_tool_calls") is False:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice, instruction


def _declared(name: str, tools: list[Tool]) -> str:
    """Return the name; raises ProviderRequestRefused if there is no such tool, as Anthropic itself would."""
    if not any(tool["function"]["name"] == name for tool in tools):
        raise ProviderRequestRefused(f"tool_choice names '{name}', which is none of the tools.", param="tool_choice")
    return name


def _set_format(body: JSON, system: list[JSON], response_format: JSON | None, facts: ModelFacts) -> None:
    """Ask for JSON: by output_config where there is a schema (26), in words where there is none or it is not taken."""
    kind = (response_format or {}).get("type", "text")
    if kind == "text":
        return
    wanted = (response_format or {}).get("json_schema")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if schema and facts.structured:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return
    words = "Answer with a single JSON object and nothing else."
    if schema:
        words += f" It must fit this JSON schema: {msgspec.json.encode(schema).decode()}"
    system.append(_instruction(words))


def _instruction(text: str) -> JSON:
    return {"type": "text", "text": text}


def _stop_sequences(stop: str | list[str] | None) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop or []
    return [text for text in stops if text.strip()]  # 22


def _set_thinking(body: JSON, effort: str | None, facts: ModelFacts) -> None:
    """Switch thinking off, or to the least the model takes, unless the request or route asks for effort (24)."""
    wants_effort = _wants_effort(effort)
    if facts.thinking_off == "disabled" and not wants_effort:
        body["thinking"] = {"type": "disabled"}
    elif facts.efforts and (wants_effort or facts.thinking_off == "effort"):
        asked = effort if effort in facts.efforts else facts.efforts[-1] if wants_effort else facts.efforts[0]
        body["output_config"] = {**body.get("output_config", {}), "effort": asked}


def thinks(effort: str | None, facts: ModelFacts) -> bool:
    """Whether the model will think before it speaks, if it is asked so."""
    return facts.thinking_off == "effort" or (_wants_effort(effort) and bool(facts.efforts))


def _wants_effort(effort: str | None) -> bool:
    return effort not in (None, "none", "minimal")


def _mark_cached(body: JSON, facts: ModelFacts) -> None:
    """Mark the end of tools and system prompt, which repeat every turn, and let the rest be cached as it grows (27).

    Two marks of the four that Anthropic takes: the automatic one counts too. Prompts that are clearly below the
    model's minimum would not be cached and get none.
    """
    if len(msgspec.json.encode(body)) < facts.cache_min_tokens * LEAST_BYTES_PER_TOKEN:
        return
    if "system" in body:
        body["system"] = [*body["system"][:-1], {**body["system"][-1], "cache_control": CACHED}]
    elif "tools" in body:
        body["tools"] = [*body["tools"][:-1], {**body["tools"][-1], "cache_control": CACHED}]
    body["cache_control"] = CACHED


COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class _Piece(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class _Message(msgspec.Struct, gc=False):
    # What an answer can do without may be of any type.
    id: Any = None
    model: Any = None
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Piece | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class AnswerReader:
    """Reads one streamed answer. `original_names` gives a tool its own name back (16)."""

    def __init__(self, original_names: Mapping[str, str]) -> None:
        self.done = False
        self._original_names = original_names
        self._calls = ToolCalls()
        self._counts: dict[str, int] = {}
        self._stop_reason: str | None = None

    def read(self, payload: bytes) -> Iterator[Event]:
        """Yield the events of one payload; raises ProviderError for an error in the stream, or what is no event."""
        try:
            event = _decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProviderBroken(detail="not an event") from error
        delta = event.delta
        if event.type == "content_block_delta" and delta is not None:
            if delta.text:
                yield Text(delta.text)
            elif delta.partial_json:
                yield from self._call(event.index, arguments=delta.partial_json)
            elif delta.thinking:
                yield Reasoning(delta.thinking)
        elif event.type == "content_block_start" and event.content_block is not None:
            yield from self._block(event.index, event.content_block)
        else:
            yield from self._frame(event)

    def finish(self) -> Iterator[Event]:
        """Yield the finish and the usage; raises ProviderBroken if `message_stop` never came (32)."""
        if not self.done:
            raise ProviderBroken(detail="the stream ended without message_stop")
        yield from self._calls.finish()
        reason = FINISH_REASONS.get(self._stop_reason or "end_turn", "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        elif reason == "tool_calls" and not self._calls:
            reason = "stop"
        yield Finish(reason)
        if self._counts:
            yield self._usage()

    def _frame(self, event: _Event) -> Iterator[Event]:
        match event.type:
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
                yield Start(str(event.message.id or ""), str(event.message.model or ""))
            case "message_delta":
                self._count(event.usage)
                if event.delta is not None and event.delta.stop_reason:
                    self._stop_reason = event.delta.stop_reason
            case "message_stop":
                self.done = True
            case "error" | "" if event.type or event.error:
                raise failure_in_stream(event.error)

    def _block(self, index: int, block: _Block) -> Iterator[Event]:
        if block.type == "text" and block.text:
            yield Text(block.text)
        elif block.type == "tool_use":
            # Anthropic sends an empty input here and the arguments as deltas; some servers send them whole.
            arguments = msgspec.json.encode(block.input).decode() if block.input else ""
            yield from self._call(index, block.id, block.name, arguments)

    def _call(
        self, index: int, call_id: str | None = None, name: str | None = None, arguments: str = ""
    ) -> Iterator[Event]:
        name = self._original_names.get(name, name) if name else None
        event = self._calls.piece(index, call_id, name, arguments)
        if event is not None:
            yield event

    def _count(self, usage: Any) -> None:
        """Take over what is counted anew: the values are cumulative, and some come only at the end (31)."""
        if isinstance(usage, dict):
            self._counts |= {name: usage[name] for name in COUNTS if type(usage.get(name)) is int}

    def _usage(self) -> Usage:
        count = self._counts.get
        read, written = count("cache_read_input_tokens", 0), count("cache_creation_input_tokens", 0)
        return Usage(
            prompt_tokens=count("input_tokens", 0) + read + written,
            completion_tokens=count("output_tokens", 0),
            cached_tokens=read,
            cache_write_tokens=written,
        )


_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "timeout_error": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}


def failure_in_stream(error: Any) -> Exception:
    """Return the error for an `error` event, whose type stands for an HTTP status (32, 35); some give only a text."""
    if not isinstance(error, dict):
        error = {"message": error}
    status = _STATUS_OF_TYPE.get(str(error.get("type")), 500)
    return failures.from_status(status, str(error.get("message") or ""))

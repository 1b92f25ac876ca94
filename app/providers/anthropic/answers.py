"""What Anthropic streams, as events; pure functions. The numbers are the cases of docs/anthropic.md (29 to 33)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from app.domain.errors import ProviderBroken
from app.domain.events import Event, Finish, FinishReason, Reasoning, Start, Text, Usage
from app.providers import failures
from app.providers.calls import ToolCalls

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

    def read(self, payload: bytes) -> Iterable[Event]:
        """Return the events of one payload; raises ProviderError for an error in the stream, or what is no event."""
        try:
            event = _decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProviderBroken(detail="not an event") from error
        if event.type == "content_block_delta" and event.delta is not None:
            # Words, as nearly every event is: no generator is made for it.
            return (Text(event.delta.text),) if event.delta.text else self._delta(event.index, event.delta)
        if event.type == "content_block_start" and event.content_block is not None:
            return self._block(event.index, event.content_block)
        return self._frame(event)

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

    def _delta(self, index: int, delta: _Piece) -> Iterator[Event]:
        if delta.partial_json:
            yield from self._call(index, arguments=delta.partial_json)
        elif delta.thinking:
            yield Reasoning(delta.thinking)

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

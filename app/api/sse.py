"""Events to bytes: a streamed Chat Completions answer, in the byte shape of OpenAI's.

A chunk of text, by far the most frequent, is one concatenation: what does not change in an answer is encoded once
(0.9 us a chunk instead of 4.6 us through a dict, measured by timeit), most of it before its first word has come.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from app.api.completion import usage_object
from app.domain.errors import GlottisError, unforeseen
from app.domain.events import Event, Filler, Finish, Pause, Reasoning, Refusal, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.encode


def _choices(delta: dict[str, Any], finish_reason: str | None = None, logprobs: Any = None) -> bytes:
    """Return a chunk's choices, as they follow on what stands before them."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return b',"choices":[%s]' % _encode(choice)


_ROLE = _choices({"role": "assistant", "content": "", "refusal": None})
_TEXT_HEAD, _TEXT_TAIL = _choices({"content": "?"}).split(b'"?"')


class ChunkEncoder:
    """Encodes one answer, under the model's name that the caller asked for."""

    def __init__(self, completion_id: str, created: int, request: TurnRequest) -> None:
        self._frame: dict[str, Any] = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": request.model,
        }
        self._include_usage = request.include_usage
        self.shows_reasoning = request.reasoning_content
        self._role_sent = False
        self._end = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._text_tail = _TEXT_TAIL + self._end
        self._begin_chunks()

    def stream(self, events: Iterable[Event], failed: Callable[[GlottisError], None]) -> Iterator[bytes]:
        """Yield the bytes of the answer, one piece for each event.

        Where the answer breaks off, the last piece is an error object and there is no `[DONE]`. Before it, `failed` is
        told of an error that nobody foresaw.
        """
        try:
            for event in events:
                if type(event) is Text and event.logprobs is None:
                    words = b"".join((self._text_head, _encode(event.text), self._text_tail))
                    yield words if self._role_sent else self._role() + words
                elif piece := self._piece(event):
                    yield piece
            yield DONE
        except GlottisError as error:
            yield error_event(error)
        except Exception as error:
            fault = unforeseen(error)
            failed(fault)
            yield error_event(fault)

    def _piece(self, event: Event) -> bytes:
        match event:
            case Start():
                self._begin(event)
                return b""
            case Usage():
                return self._usage(event) if self._include_usage else b""
            case Finish():
                return self._role() + self._chunk({}, event.reason)
            case Text():
                return self._role() + self._chunk({"content": event.text}, logprobs=event.logprobs)
            case Filler():
                return self._role() + self._chunk({"content": event.text})
            case Pause():
                return self._role() + self._chunk({"content": ""})
            case Refusal():
                return self._role() + self._chunk({"refusal": event.text})
            case ToolCall():
                return self._role() + self._chunk({"tool_calls": [_tool_call(event)]})
            case Reasoning():
                return self._role() + self._chunk({"reasoning_content": event.text}) if self.shows_reasoning else b""

    def _begin(self, start: Start) -> None:
        if start.service_tier:
            self._frame["service_tier"] = start.service_tier
        if start.system_fingerprint:
            self._frame["system_fingerprint"] = start.system_fingerprint
        if start.service_tier or start.system_fingerprint:
            self._begin_chunks()

    def _begin_chunks(self) -> None:
        """Encode what stands before a chunk's choices."""
        self._head = b"data: " + _encode(self._frame)[:-1]
        self._text_head = self._head + _TEXT_HEAD

    def _role(self) -> bytes:
        """Return the role-only first chunk, once."""
        if self._role_sent:
            return b""
        self._role_sent = True
        return b"".join((self._head, _ROLE, self._end))

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, logprobs: Any = None) -> bytes:
        return b"".join((self._head, _choices(delta, finish_reason, logprobs), self._end))

    def _usage(self, usage: Usage) -> bytes:
        return b"data: %s\n\n" % _encode({**self._frame, "choices": [], "usage": usage_object(usage)})


def error_event(error: GlottisError) -> bytes:
    """Return the event that tells a caller of a stream that it broke off."""
    return b"data: %s\n\n" % _encode(error_object(error))


def error_object(error: GlottisError) -> dict[str, Any]:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def _tool_call(event: ToolCall) -> dict[str, Any]:
    if event.id is None:
        return {"index": event.index, "function": {"arguments": event.arguments}}
    function = {"name": event.name, "arguments": event.arguments}
    return {"index": event.index, "id": event.id, "type": "function", "function": function}

"""Events to one JSON object: a Chat Completions answer that is not streamed is the fold of the same events."""

from collections.abc import Iterable
from typing import Any

from app.domain.events import Event, Finish, Reasoning, Refusal, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest


def fold(events: Iterable[Event], completion_id: str, created: int, request: TurnRequest) -> dict[str, Any]:
    """Return the whole answer in OpenAI's shape; whatever the events raise, it raises."""
    said: dict[type[Text | Refusal | Reasoning], list[str]] = {Text: [], Refusal: [], Reasoning: []}
    calls: dict[int, dict[str, Any]] = {}
    logprobs: list[Any] = []
    answer: dict[str, Any] = {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [],
    }
    finish_reason = "stop"
    for event in events:
        match event:
            case Text() | Refusal() | Reasoning():
                said[type(event)].append(event.text)
                logprobs += _logprobs(event)
            case ToolCall():
                _add(calls, event)
            case Finish():
                finish_reason = event.reason
            case Usage():
                answer["usage"] = usage_object(event)
            case Start():
                _name(answer, event)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(said[Text]) if said[Text] or not calls else None,
        "refusal": "".join(said[Refusal]) or None,
    }
    if said[Reasoning] and request.reasoning_content:
        message["reasoning_content"] = "".join(said[Reasoning])
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    answer["choices"] = [
        {
            "index": 0,
            "message": message,
            "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
            "finish_reason": finish_reason,
        }
    ]
    return answer


def _logprobs(event: Text | Refusal | Reasoning) -> list[Any]:
    found = event.logprobs.get("content") if isinstance(event, Text) and event.logprobs else None
    return found if isinstance(found, list) else []


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return the usage in OpenAI's shape."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }


def _add(calls: dict[int, dict[str, Any]], piece: ToolCall) -> None:
    if piece.index not in calls:
        function = {"name": piece.name, "arguments": piece.arguments}
        calls[piece.index] = {"id": piece.id, "type": "function", "function": function}
    else:
        calls[piece.index]["function"]["arguments"] += piece.arguments


def _name(answer: dict[str, Any], start: Start) -> None:
    if start.service_tier:
        answer["service_tier"] = start.service_tier
    if start.system_fingerprint:
        answer["system_fingerprint"] = start.system_fingerprint

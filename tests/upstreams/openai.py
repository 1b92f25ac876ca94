"""A scripted OpenAI: as strict as the real API, and it answers in the real API's bytes.

    upstream.answers["gpt-4o"] = text_answer(["Hel", Wait(0.1), "lo"])
    upstream.answers["gpt-4.1"] = tool_answer([("call_1", "end_call", ['{"reason"', ':"bye"}'])])

Steps may stand among the pieces: they are played between the chunks.
"""

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import openai_rules as rules
from .answers import Answer, Send, Step
from .server import Recorded, Upstream

MODELS = (
    *("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"),
    *("gpt-5.6-luna", "gpt-5.5", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano"),
    *("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini"),
)

DONE = b"data: [DONE]\n\n"
JSON = dict[str, Any]
_PADDING = "aB3dE6gH9jK2mN5pQ8sT1vW4"


def sse(data: Any) -> bytes:
    """One server-sent event with this JSON."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def chunk(
    delta: JSON | None,
    finish_reason: str | None = None,
    *,
    id: str = "chatcmpl-upstream",  # noqa: A002
    model: str = "gpt-4o",
    created: int = 1_795_000_000,
    logprobs: JSON | None = None,
    **more: Any,
) -> bytes:
    """One chunk of a streamed answer; no delta means no choices. `more` is e.g. `usage`, `obfuscation`."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return sse(
        {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_upstream",
            "choices": [] if delta is None else [choice],
            **more,
        }
    )


def error(
    status: int,
    message: str,
    *,
    type: str = "invalid_request_error",  # noqa: A002
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Answer with an error in OpenAI's shape."""
    body = {"error": {"message": message, "type": type, "param": param, "code": code}}
    return Answer.error(status, body, {"x-request-id": f"req_{uuid.uuid4().hex}", **(headers or {})})


@dataclass
class Completion(Answer):
    """An answer as deltas, with steps among them: it is streamed or given whole, as the request asks.

    `usage` is the object to send, or whether to send a plausible one when asked; None for `model` is the request's.
    """

    deltas: Sequence[JSON | Step] = ()
    finish: str | None = "stop"
    model: str | None = None
    usage: JSON | bool = True
    done: bool = True
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex[:29]}")

    def to(self, recorded: Recorded) -> Answer:
        """Stream, or fold to one JSON object; the steps then come before the head."""
        body = recorded.json
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}", "openai-processing-ms": "12", **self.headers}
        if body.get("stream"):
            headers = {"content-type": "text/event-stream; charset=utf-8", **headers}
            return Answer(self.status, headers, [*self.steps, *self._stream(body)], self.framing, self.before)
        steps = [each for each in self.deltas if not isinstance(each, dict)]
        whole = Answer.json(self._whole(body), self.status, headers)
        return replace(whole, before=[*self.before, *steps])

    def _stream(self, body: JSON) -> Iterable[Step]:
        options = body.get("stream_options") or {}
        with_usage = bool(self.usage and options.get("include_usage"))
        same: JSON = {"id": self.id, "model": self.model or body["model"], "created": int(time.time())}
        if with_usage:
            same["usage"] = None
        if options.get("include_obfuscation") is not False:
            same["obfuscation"] = ""
        for number, each in enumerate(self.deltas):
            if not isinstance(each, dict):
                yield each
                continue
            if "obfuscation" in same:
                same["obfuscation"] = _PADDING[number % 16 :]
            logprobs = _logprobs(each) if body.get("logprobs") else None
            yield Send(chunk(each, logprobs=logprobs, **same))
        if self.finish is not None:
            yield Send(chunk({}, self.finish, **same))
        if with_usage:
            yield Send(chunk(None, **{**same, "usage": self._usage(body)}))
        if self.done:
            yield Send(DONE)

    def _whole(self, body: JSON) -> JSON:
        message: JSON = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
        calls: dict[int, JSON] = {}
        for delta in self.deltas:
            if isinstance(delta, dict):
                _fold(message, calls, delta)
        if calls:
            message["tool_calls"] = list(calls.values())
        logprobs: JSON | None = {"content": [], "refusal": None} if body.get("logprobs") else None
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model or body["model"],
            "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": self.finish}],
            "usage": self._usage(body) if self.usage else None,
            "service_tier": "default",
            "system_fingerprint": "fp_upstream",
        }

    def _usage(self, body: JSON) -> JSON:
        prompt = max(1, len(json.dumps(body["messages"])) // 4)
        said = sum(isinstance(each, dict) for each in self.deltas)
        return self.usage if isinstance(self.usage, dict) else usage(prompt, said)


def usage(prompt: int, completion: int, *, cached: int = 0, reasoning: int = 0) -> JSON:
    """Make the usage object, with its details."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def text_answer(pieces: Iterable[str | Step], **options: Any) -> Completion:
    """Say words, one chunk a piece. Options are Completion's fields: model, usage, finish, before, headers, ..."""
    deltas = [{"content": piece} if isinstance(piece, str) else piece for piece in pieces]
    return Completion(deltas=[{"role": "assistant", "content": "", "refusal": None}, *deltas], **options)


def tool_answer(
    calls: Sequence[tuple[str, str, Iterable[str | Step]]], *, text: Iterable[str | Step] = (), **options: Any
) -> Completion:
    """Call tools, each an id, a name and pieces of arguments; after `text`, if there is any."""
    spoken = [{"content": piece} if isinstance(piece, str) else piece for piece in text]
    deltas: list[JSON | Step] = [{"role": "assistant", "content": "" if spoken else None}, *spoken]
    for index, (id_, name, pieces) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]})
        for piece in pieces:
            more = {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            deltas.append(more if isinstance(piece, str) else piece)
    if len(calls) == 1 and not spoken:  # the real API gives a lone call's head together with the role
        deltas[:2] = [{**deltas[0], **deltas[1], "refusal": None}]  # type: ignore[dict-item]
    return Completion(deltas=deltas, **{"finish": "tool_calls", **options})


class OpenAIUpstream(Upstream):
    """`POST /v1/chat/completions` and the models; anything else is 404. `strict=False` leaves the rules out."""

    def __init__(self, key: str = "sk-upstream", *, models: Sequence[str] = MODELS, strict: bool = True) -> None:
        super().__init__()
        self.key = key
        self.models = models
        self.strict = strict

    @property
    def base_url(self) -> str:
        """What the SDK takes as its base URL."""
        return f"{self.url}/v1"

    def answer_for(self, recorded: Recorded) -> Answer:
        """Check the route, the key and the body, in that order; then answer as scripted."""
        chat = recorded.route == "POST /v1/chat/completions"
        if not chat and not recorded.route.startswith("GET /v1/models"):
            return error(404, f"Invalid URL ({recorded.method} {recorded.path})")
        if refusal := self._key_refused(recorded.headers.get("authorization", "")):
            return refusal
        if not chat:
            return self.scripted(recorded) or self._models(recorded.route.removeprefix("GET /v1/models").strip("/"))
        if not isinstance(recorded.json, dict):
            return error(400, "We could not parse the JSON body of your request.")
        try:
            if self.strict:
                rules.check(recorded.json)
        except rules.Refused as refused:
            return error(refused.status, refused.message, param=refused.param, code=refused.code)
        return self.scripted(recorded) or self.default_answer(recorded)

    def default_answer(self, recorded: Recorded) -> Answer:
        """Echo the last user message, word by word."""
        said = [message.get("content") for message in recorded.json["messages"] if message["role"] == "user"][-1:]
        content = said[0] if said else ""
        if isinstance(content, list):
            content = " ".join(part["text"] for part in content if part["type"] == "text")
        first, *words = f"You said: {content}".split(" ")
        return text_answer([first, *(f" {word}" for word in words)])

    def _key_refused(self, authorization: str) -> Answer | None:
        if authorization == f"Bearer {self.key}":
            return None
        given = authorization.removeprefix("Bearer ")
        if not given:
            return error(401, "You didn't provide an API key.")
        partial = f"{given[:8]}{'*' * 8}{given[-4:]}"  # part of a secret: it must never be relayed
        message = f"Incorrect API key provided: {partial}. You can find your API key at https://platform.openai.com."
        return error(401, message, code="invalid_api_key")

    def _models(self, name: str) -> Answer:
        listed = [{"id": id_, "object": "model", "created": 1_790_000_000, "owned_by": "system"} for id_ in self.models]
        if not name:
            return Answer.json({"object": "list", "data": listed})
        for model in listed:
            if model["id"] == name:
                return Answer.json(model)
        return error(404, f"The model '{name}' does not exist", param="model", code="model_not_found")


def _fold(message: JSON, calls: dict[int, JSON], delta: JSON) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for piece in value:
                call = calls.setdefault(piece["index"], {"id": "", "type": "function", "function": {"arguments": ""}})
                call["id"] = piece.get("id") or call["id"]
                given = piece["function"]
                call["function"]["name"] = given.get("name") or call["function"].get("name")
                call["function"]["arguments"] += given.get("arguments") or ""
        elif key != "role" and value is not None:
            message[key] = (message.get(key) or "") + value


def _logprobs(delta: JSON) -> JSON | None:
    token = delta.get("content")
    if not token:
        return None
    return {"content": [{"token": token, "logprob": -0.1, "bytes": list(token.encode()), "top_logprobs": []}]}

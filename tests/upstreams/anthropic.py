"""A scripted Anthropic: as strict as the real API, and it answers in the real API's events.

    upstream.answers["claude-sonnet-5"] = text_answer(["Hel", Wait(0.1), "lo"])
    upstream.answers["claude-opus-5"] = tool_answer([("toolu_1", "end_call", ['{"reason"', ':"bye"}'])])

Steps may stand among the pieces: they are played between the events.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .answers import Answer, Send, Step
from .anthropic_messages import SIGNATURE, blocks, check_messages
from .anthropic_models import LISTED, Model
from .anthropic_rules import Refused, check_parameters
from .server import Recorded, Upstream

VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
JSON = dict[str, Any]
# The kind of delta that carries a piece of each kind of block.
_DELTAS = {
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
    "server_tool_use": ("input_json_delta", "partial_json"),
    "thinking": ("thinking_delta", "thinking"),
}


def event(type: str, **fields: Any) -> bytes:  # noqa: A002
    """One server-sent event of this type."""
    data = json.dumps({"type": type, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {type}\ndata: {data}\n\n".encode()


def error(
    status: int,
    message: str,
    type: str = "invalid_request_error",  # noqa: A002
    *,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Answer with an error in Anthropic's shape."""
    request_id = f"req_{uuid.uuid4().hex[:24]}"
    body = {"type": "error", "error": {"type": type, "message": message}, "request_id": request_id}
    return Answer.error(status, body, {"request-id": request_id, **(headers or {})})


def usage(input_tokens: int, output_tokens: int, *, cache_read: int = 0, cache_creation: int = 0) -> JSON:
    """Make the usage object; its input excludes what was read from and written to the cache."""
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": cache_creation,
        "cache_read_input_tokens": cache_read,
        "output_tokens": output_tokens,
    }


@dataclass
class Block:
    """A content block: how it starts, and the pieces that follow, with steps among them."""

    start: JSON
    pieces: Sequence[str | Step] = ()

    @property
    def text(self) -> str:
        """All pieces, joined."""
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    def events(self, index: int, model: str) -> Iterable[Step]:
        """Stream it; a tool's first piece of JSON is empty, as the real API has it, and thinking is signed."""
        yield Send(event("content_block_start", index=index, content_block=self.start))
        if index == 0:
            yield Send(event("ping"))
        kind, key = _DELTAS.get(self.start["type"], ("", ""))
        if kind == "input_json_delta" and self.pieces:
            yield Send(event("content_block_delta", index=index, delta={"type": kind, key: ""}))
        for piece in self.pieces:
            delta = {"type": kind, key: piece}
            yield Send(event("content_block_delta", index=index, delta=delta)) if isinstance(piece, str) else piece
        if self.start["type"] == "thinking":
            delta = {"type": "signature_delta", "signature": f"{SIGNATURE}{model}"}
            yield Send(event("content_block_delta", index=index, delta=delta))
        yield Send(event("content_block_stop", index=index))

    def whole(self, model: str) -> JSON:
        """Give it in one piece."""
        kind = self.start["type"]
        if kind in {"text", "thinking"}:
            return {
                **self.start,
                kind: self.text,
                **({"signature": f"{SIGNATURE}{model}"} if kind == "thinking" else {}),
            }
        return {**self.start, "input": json.loads(self.text or "{}")} if kind in _DELTAS else self.start


def text_block(pieces: Iterable[str | Step]) -> Block:
    """Make a block of words."""
    return Block({"type": "text", "text": ""}, list(pieces))


def tool_block(id: str, name: str, pieces: Iterable[str | Step]) -> Block:  # noqa: A002
    """Make a call of a tool; no pieces mean no deltas (case 30)."""
    return Block({"type": "tool_use", "id": id, "name": name, "input": {}}, list(pieces))


def thinking_block(pieces: Iterable[str | Step]) -> Block:
    """Make a block of thinking."""
    return Block({"type": "thinking", "thinking": "", "signature": ""}, list(pieces))


@dataclass
class Message(Answer):
    """An answer as blocks, with steps among them: it is streamed or given whole, as the request asks.

    `usage` is the final count and `usage_at_start` that of `message_start`, if they matter; None for `model` is the
    request's.
    """

    blocks: Sequence[Block | Step] = ()
    finish: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: JSON | None = None
    model: str | None = None
    usage: JSON | None = None
    usage_at_start: JSON | None = None
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex[:24]}")

    def to(self, recorded: Recorded) -> Answer:
        """Stream, or fold to one JSON object; the steps then come before the head."""
        headers = {"request-id": f"req_{uuid.uuid4().hex[:24]}", **self.headers}
        if recorded.json.get("stream"):
            headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **headers}
            steps = [*self.steps, *self._stream(recorded.json)]
            return Answer(self.status, headers, steps, self.framing, self.before)
        whole = Answer.json(self._whole(recorded.json), self.status, headers)
        return replace(whole, before=[*self.before, *self._moments()])

    def _stream(self, body: JSON) -> Iterable[Step]:
        final = self._usage(body)
        begun = {**self._opening(body), "usage": self.usage_at_start or {**final, "output_tokens": 1}}
        yield Send(event("message_start", message=begun))
        index = 0
        for each in self.blocks:
            if isinstance(each, Block):
                yield from each.events(index, begun["model"])
                index += 1
            else:
                yield each
        yield Send(event("message_delta", delta=self._stop(), usage=final))
        yield Send(event("message_stop"))

    def _whole(self, body: JSON) -> JSON:
        head = self._opening(body)
        content = [each.whole(head["model"]) for each in self.blocks if isinstance(each, Block)]
        return {**head, **self._stop(), "content": content, "usage": self._usage(body)}

    def _opening(self, body: JSON) -> JSON:
        model = self.model or body["model"]
        head: JSON = {"id": self.id, "type": "message", "role": "assistant", "model": model, "content": []}
        return {**head, "stop_reason": None, "stop_sequence": None, "stop_details": None}

    def _stop(self) -> JSON:
        return {
            "stop_reason": self.finish,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
        }

    def _usage(self, body: JSON) -> JSON:
        said = sum(isinstance(piece, str) for each in self.blocks if isinstance(each, Block) for piece in each.pieces)
        return self.usage or usage(max(1, len(json.dumps(body["messages"])) // 4), max(1, said))

    def _moments(self) -> Iterable[Step]:
        for each in self.blocks:
            yield from (
                [piece for piece in each.pieces if not isinstance(piece, str)] if isinstance(each, Block) else [each]
            )


def text_answer(pieces: Iterable[str | Step], **options: Any) -> Message:
    """Say words, one delta for each piece. Options are Message's fields: model, usage, finish, before, headers, ..."""
    return Message(blocks=[text_block(pieces)], **options)


def tool_answer(
    calls: Sequence[tuple[str, str, Iterable[str | Step]]], *, text: Iterable[str | Step] = (), **options: Any
) -> Message:
    """Call tools, each an id, a name and the pieces of its input; after `text`, if there is any."""
    spoken = [text_block(text)] if text else []
    return Message(blocks=[*spoken, *(tool_block(*call) for call in calls)], **{"finish": "tool_use", **options})


class AnthropicUpstream(Upstream):
    """`POST /v1/messages` and the models; anything else is 404. `strict=False` leaves the rules out."""

    def __init__(
        self, key: str = "sk-ant-upstream", *, models: Sequence[str] = tuple(LISTED), strict: bool = True
    ) -> None:
        super().__init__()
        self.key = key
        self.models = models
        self.strict = strict

    @property
    def base_url(self) -> str:
        """What the SDK takes as its base URL."""
        return self.url

    def answer_for(self, recorded: Recorded) -> Answer:
        """Check the route, the key, the version and the body, in that order; then answer as scripted."""
        messages = recorded.route == "POST /v1/messages"
        if not messages and not recorded.route.startswith("GET /v1/models"):
            return error(404, "Not found", "not_found_error")
        try:
            self._check_headers(recorded.headers)
            if messages:
                self._check_body(recorded)
        except Refused as refused:
            return error(refused.status, refused.message, refused.type)
        return self.scripted(recorded) or (self.default_answer(recorded) if messages else self._models(recorded))

    def default_answer(self, recorded: Recorded) -> Answer:
        """Echo the last user message, word by word."""
        said = [message for message in recorded.json["messages"] if message["role"] == "user"][-1:]
        content = " ".join(block["text"] for message in said for block in blocks(message) if block["type"] == "text")
        first, *words = f"You said: {content}".split(" ")
        return text_answer([first, *(f" {word}" for word in words)])

    def _check_headers(self, headers: dict[str, str]) -> None:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if given != self.key:
            message = "invalid x-api-key" if given else "x-api-key header is required"
            raise Refused(message, 401, "authentication_error")
        version = headers.get("anthropic-version")
        if version not in VERSIONS:
            what = f'"{version}" is not a valid version' if version else "header is required"
            raise Refused(f"anthropic-version: {what}")

    def _check_body(self, recorded: Recorded) -> None:
        if not isinstance(recorded.json, dict):
            raise Refused("The request body is not valid JSON")
        if not self.strict:
            return
        try:
            check_parameters(recorded.json, recorded.headers["anthropic-version"])
            check_messages(recorded.json)
        except (AttributeError, KeyError, TypeError) as error:  # a shape that no rule expects
            raise Refused(f"Input should be a valid dictionary: {error}") from error

    def _models(self, recorded: Recorded) -> Answer:
        url = urlsplit(recorded.path)
        name = url.path.removeprefix("/v1/models").strip("/")
        if name:
            if name not in self.models:
                return error(404, f"model: {name}", "not_found_error")
            return Answer.json(Model.of(name).info())
        query = parse_qs(url.query)
        after = query.get("after_id", [""])[0]
        left = list(self.models)[self.models.index(after) + 1 if after in self.models else 0 :]
        page = left[: int(query.get("limit", ["20"])[0])]
        ends = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        data = [Model.of(each).info() for each in page]
        return Answer.json({"data": data, "has_more": len(left) > len(page), **ends})

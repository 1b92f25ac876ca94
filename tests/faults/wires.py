"""The bricks of faults in each wire format: the same script, in OpenAI's bytes or in Anthropic's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from upstreams import Answer, Hold, Recorded, Send, Step
from upstreams import anthropic as claude
from upstreams import openai as gpt

Pieces = Iterable[str | Step]
OPENING_EVENTS = {"openai": 1, "anthropic": 3}
"""Events before the first word: the role; message_start, content_block_start and a ping."""

ENDING_STEPS = 3
"""finish, usage and [DONE]; content_block_stop, message_delta and message_stop."""


@dataclass
class Short(Answer):
    """Another answer without its last steps, ended as HTTP wants it: nothing below the API's own words is amiss.

    With `holds` it does not end at all.
    """

    whole: Answer = field(default_factory=Answer)
    less: int = ENDING_STEPS
    holds: bool = False

    def to(self, recorded: Recorded) -> Answer:
        """Leave the last steps out."""
        answer = self.whole.to(recorded)
        return replace(answer, steps=[*answer.steps[: -self.less], *([Hold()] if self.holds else [])])


class Wire(NamedTuple):
    """One wire format: its name, and what each kind of answer and event is in it."""

    name: str
    words: Callable[..., Answer]
    tool: Callable[..., Answer]
    thinking: Callable[[Pieces], Answer]
    error: Callable[..., Answer]
    refused: str
    """The finish reason of a refusal."""
    ping: bytes
    malformed: bytes
    error_event: bytes

    @property
    def too_long(self) -> Answer:
        """The conversation does not fit into the model's context."""
        if self.name == "openai":
            message = "This model's maximum context length is 8192 tokens. However, your messages have 9001 tokens."
            return gpt.error(400, message, param="messages", code="context_length_exceeded")
        return claude.error(400, "prompt is too long: 210000 tokens > 200000 maximum")

    @property
    def filtered(self) -> Answer:
        """The policy refuses the prompt."""
        if self.name == "openai":
            message = "The response was filtered due to the prompt triggering the content management policy."
            return gpt.error(400, message, param="prompt", code="content_filter")
        return claude.error(400, "Output blocked by content filtering policy")

    @property
    def bad_parameter(self) -> Answer:
        """The request is wrong in a way that neither leaving out nor waiting mends."""
        if self.name == "openai":
            return gpt.error(400, "Invalid schema for function 'end_call'.", param="tools[0].function.parameters")
        return claude.error(400, "tools.0.custom.input_schema: JSON schema is invalid")

    @property
    def no_prefill(self) -> Answer:
        """The model does not go on from an assistant's turn."""
        if self.name == "openai":
            return gpt.error(400, "The last message must have the role 'user' or 'tool'.", param="messages")
        message = "This model does not support assistant message prefill."
        return claude.error(400, f"{message} The conversation must end with a user message.")


def stream_of(steps: Sequence[Step]) -> Answer:
    """Send the headers of a stream at once, and then these steps, none of which is an event of an answer."""
    return Answer(headers={"content-type": "text/event-stream"}, steps=list(steps))


def _gpt_thinking(pieces: Pieces) -> Answer:
    thoughts = [{"reasoning_content": piece} if isinstance(piece, str) else piece for piece in pieces]
    return gpt.Completion(deltas=[{"role": "assistant", "content": ""}, *thoughts])


def _gpt_error(status: int, headers: dict[str, str] | None = None) -> Answer:
    kinds: dict[int, dict[str, Any]] = {
        401: {"code": "invalid_api_key"},
        404: {"code": "model_not_found"},
        429: {"type": "requests", "code": "rate_limit_exceeded"},
    }
    return gpt.error(status, f"a scripted {status}", headers=headers, **kinds.get(status, {"type": "server_error"}))


def _claude_error(status: int, headers: dict[str, str] | None = None) -> Answer:
    kinds = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    return claude.error(status, f"a scripted {status}", kinds.get(status, "api_error"), headers=headers)


WIRES = {
    "openai": Wire(
        name="openai",
        words=gpt.text_answer,
        tool=gpt.tool_answer,
        thinking=_gpt_thinking,
        error=_gpt_error,
        refused="content_filter",
        ping=b": keep-alive\n\n",
        malformed=b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"con\n\n',
        error_event=gpt.sse({"error": {"message": "The server had an error", "type": "server_error", "code": None}}),
    ),
    "anthropic": Wire(
        name="anthropic",
        words=claude.text_answer,
        tool=claude.tool_answer,
        thinking=lambda pieces: claude.Message(blocks=[claude.thinking_block(pieces)]),
        error=_claude_error,
        refused="refusal",
        ping=claude.event("ping"),
        malformed=b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n',
        error_event=claude.event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    ),
}


def broken(wire: Wire) -> Step:
    """An event that is no JSON."""
    return Send(wire.malformed)

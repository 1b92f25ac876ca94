"""Events: what a provider yields and an encoder takes; n wire formats in and m out meet only here.

An answer is any number of Text, Reasoning, Refusal and ToolCall events, then one Finish and one Usage; Filler and
Pause are the engine's, while nothing of the answer is there. Structs are
not tracked by the garbage collector (`gc=False`: they hold no cycles), because one is made for every chunk.
"""

from collections.abc import Generator
from typing import Any, Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Start(Struct, frozen=True, gc=False):
    """The provider has begun to answer: its own id of the answer, and what it says of itself."""

    id: str = ""
    model: str = ""
    system_fingerprint: str | None = None
    service_tier: str | None = None


class Text(Struct, frozen=True, gc=False):
    """Words to be spoken; `logprobs` is OpenAI's object as it came, when it was asked for."""

    text: str
    logprobs: dict[str, Any] | None = None


class Reasoning(Struct, frozen=True, gc=False):
    """The model's thinking: never spoken."""

    text: str


class Refusal(Struct, frozen=True, gc=False):
    """OpenAI's `refusal` text: the model declines, in words of its own."""

    text: str


class ToolCall(Struct, frozen=True, gc=False):
    """A piece of a tool call: the first piece of an `index` carries `id` and `name`, each one more of `arguments`."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Finish(Struct, frozen=True, gc=False):
    """The answer is complete, and why it stopped, in OpenAI's words."""

    reason: FinishReason


class Filler(Struct, frozen=True, gc=False):
    """Words that fill a silence before the answer: spoken, and no part of it."""

    text: str


class Pause(Struct, frozen=True, gc=False):
    """Nothing to say yet: a sign of life for a connection that would be cut for its silence."""


class Usage(Struct, frozen=True, gc=False):
    """Tokens, counted as OpenAI counts them: cached ones are part of the prompt, reasoning ones of the completion."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


Event = Start | Text | Reasoning | Refusal | ToolCall | Finish | Filler | Pause | Usage
Events = Generator[Event, None, None]
"""A provider's answer. `close()` ends the upstream call, at any moment and more than once."""


def is_speakable(event: Event) -> bool:
    """Whether the caller can hear this event, or it acts: text or a refusal that is not blank, or a tool call."""
    kind = type(event)
    if kind is Text or kind is Refusal:
        return event.text != "" and not event.text.isspace()  # type: ignore[union-attr]
    return kind is ToolCall

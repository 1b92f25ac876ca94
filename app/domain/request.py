"""A turn's request: OpenAI's Chat Completions vocabulary, validated, with the platform's own fields set apart."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from msgspec import Struct

from app.domain.config import Budget

JSON = dict[str, Any]
Content = str | list[JSON] | None

Caching = Literal["full", "write", "none"]
"""What a caller lets the answer cache do: read and write, write alone (`no-cache`), or neither (`no-store`)."""


class FunctionCall(TypedDict):
    """The function that a tool call names, with its arguments as JSON text."""

    name: str
    arguments: str


class MessageToolCall(TypedDict):
    """A tool call as the history shows it."""

    id: str
    type: str
    function: FunctionCall


class Message(TypedDict, total=False):
    """One message of the history, in OpenAI's shape; `role` is always there."""

    role: str
    content: Content
    name: str
    tool_calls: list[MessageToolCall]
    tool_call_id: str
    refusal: str | None


class Function(TypedDict, total=False):
    """A function that the model may call; `name` is always there, `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: JSON
    strict: bool | None


class Tool(TypedDict):
    """A tool of the request: `type` is `function`."""

    type: str
    function: Function


class TurnRequest(Struct, frozen=True, kw_only=True):
    """One request of the platform, as every provider gets it. Nobody may change what it holds.

    `params` has every other Chat Completions parameter that was set (temperature, max_tokens, stop, seed,
    response_format, ...) under OpenAI's name. `extra` is `elevenlabs_extra_body`: kept with the turn, never forwarded.
    `caller` is the name of the caller's key, "" for anonymous use. `traceparent` is as in TurnRecord. Of the last five
    fields, see domain.config.Route.
    """

    model: str
    messages: list[Message]
    tools: list[Tool] = []
    tool_choice: str | JSON | None = None
    params: Mapping[str, Any] = {}
    stream: bool = False
    include_usage: bool = False
    request_id: str = ""
    conversation_id: str | None = None
    caller: str = ""
    traceparent: str | None = None
    extra: Mapping[str, Any] = {}
    caching: Caching = "full"
    cache_ttl_s: float = 0.0
    prompt_caching: bool = True
    reasoning_content: bool = False
    budget: Budget = Budget()

    @property
    def last_user_text(self) -> str:
        """The words of the last user message, or "" where there is none."""
        for message in reversed(self.messages):
            if message["role"] == "user":
                return text_of(message.get("content"))
        return ""


def text_of(content: Content) -> str:
    """The text of a message's content, whichever of its three forms it has; parts are joined by a line break."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(part.get("text") or "") for part in content if part.get("type") == "text")

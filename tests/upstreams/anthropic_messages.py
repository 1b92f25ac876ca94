"""What Anthropic's Messages API refuses of a request's messages and system prompt; numbers as in `anthropic_rules`."""

from typing import Any

from .anthropic_models import Model
from .anthropic_rules import Body, Refused, extra, matches

SIGNATURE = "c2lnbmVkIGZvciA="
"""The beginning of the signature of every thinking block that this server gives; the model's name follows."""

_ID = r"^[a-zA-Z0-9_-]+$"
# [P] Each block type, and the fields that it may have; the roles that may send it.
_COMMON = {"type", "cache_control"}
_BLOCKS: dict[str, tuple[set[str], set[str]]] = {
    "text": ({"text", "citations"}, {"user", "assistant", "system"}),
    "image": ({"source", "transformations"}, {"user"}),
    "document": ({"source", "title", "context", "citations"}, {"user"}),
    "search_result": ({"source", "title", "content", "citations"}, {"user"}),
    "tool_use": ({"id", "name", "input", "caller", "toolset_name"}, {"assistant"}),
    "tool_result": ({"tool_use_id", "content", "is_error", "toolset_name"}, {"user"}),
    "thinking": ({"thinking", "signature"}, {"assistant"}),
    "redacted_thinking": ({"data"}, {"assistant"}),
    "server_tool_use": ({"id", "name", "input", "caller"}, {"assistant"}),
    "web_search_tool_result": ({"tool_use_id", "content", "caller"}, {"assistant"}),
}
_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def check_messages(body: Body) -> None:
    """Raise the first refusal of the system prompt and the messages."""
    model = Model.of(body["model"])
    _system(body.get("system", ""))
    messages = body["messages"]
    if not messages:
        raise Refused("messages: at least one message is required")  # [7]
    for at, message in enumerate(messages):
        _message(message, at, model)
    _system_turns(messages)
    _tool_pairs(messages)
    _tools_declared(body)
    _prefill(body, model)


def blocks(message: Body) -> list[Body]:
    """Give a message's content as blocks, whichever of its two forms it has."""
    content: str | list[Body] = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def _system(system: Any) -> None:
    """[4] No blank system prompt, but none at all is fine."""
    if isinstance(system, str):
        system = [{"type": "text", "text": system}] if system else []
    for at, block in enumerate(system):
        if block.get("type") != "text":
            raise Refused(f"system.{at}.type: Input should be 'text'")
        extra(block, _COMMON | {"text", "citations"}, f"system.{at}.")
        if not block["text"].strip():
            raise Refused("system: text content blocks must contain non-whitespace text")


def _message(message: Body, at: int, model: Model) -> None:
    role = message.get("role")
    if role == "system" and not model.takes_system_turns:  # [6]
        raise Refused(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )
    if role not in {"user", "assistant", "system"}:
        raise Refused(f"messages.{at}.role: Input should be 'user' or 'assistant'")
    extra(message, {"role", "content"}, f"messages.{at}.")
    if not isinstance(message.get("content"), str | list):
        raise Refused(f"messages.{at}.content: Input should be a valid list")
    for index, block in enumerate(blocks(message)):
        _block(block, role, f"messages.{at}.content.{index}", model)
    if role in {"user", "system"}:
        _user_text(message, at)


def _system_turns(messages: list[Body]) -> None:
    """[6] Directly after a user's turn, and before the assistant's or at the end."""
    roles = [message["role"] for message in messages]
    for before, role, after in zip(["", *roles], roles, [*roles[1:], "assistant"], strict=False):
        if role == "system" and (before != "user" or after != "assistant"):
            raise Refused("messages: `system` messages must follow a `user` message and precede an `assistant` one")


def _user_text(message: Body, at: int) -> None:
    """[2] A user (and the system) says something: whitespace is fine only beside other text."""
    content = blocks(message)
    if not content:
        raise Refused(f"messages.{at}: user messages must have non-empty content")
    texts = [block["text"] for block in content if block["type"] == "text"]
    if texts and not any(text.strip() for text in texts):
        raise Refused("messages: text content blocks must contain non-whitespace text")


def _block(block: Body, role: str, at: str, model: Model) -> None:
    kind = block.get("type")
    if kind not in _BLOCKS:
        known = ", ".join(f"'{each}'" for each in _BLOCKS)
        raise Refused(f"{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {known}")
    fields, roles = _BLOCKS[kind]
    if role not in roles:
        raise Refused(f"{at}: `{kind}` blocks can only be in `{''.join(roles)}` messages")
    extra(block, fields | _COMMON, f"{at}.{kind}.")
    check = _CHECKS.get(kind)
    if check:
        check(block, f"{at}.{kind}", model)


def _text(block: Body, at: str, model: Model) -> None:
    """[2], [3]: no empty block, of either role; an assistant's bare "" has no blocks."""
    if not isinstance(block.get("text"), str):
        raise Refused(f"{at}.text: Input should be a valid string")
    if not block["text"]:
        raise Refused("messages: text content blocks must be non-empty")


def _image(block: Body, at: str, model: Model) -> None:
    """[28] In base64 or by URL."""
    source = block.get("source", {})
    kind = source.get("type")
    if kind == "base64":
        extra(source, {"type", "media_type", "data"}, f"{at}.source.base64.")
        if source.get("media_type") not in _IMAGES:
            known = ", ".join(f"'{each}'" for each in sorted(_IMAGES))
            raise Refused(f"{at}.source.base64.media_type: Input should be one of {known}")
        matches(source.get("data"), r"^[A-Za-z0-9+/]+={0,2}$", f"{at}.source.base64.data")
    elif kind == "url":
        extra(source, {"type", "url"}, f"{at}.source.url.")
        matches(source.get("url"), r"^https?://", f"{at}.source.url.url")
    else:
        raise Refused(f"{at}.source: Input tag '{kind}' does not match any of the expected tags: 'base64', 'url'")


def _tool_use(block: Body, at: str, model: Model) -> None:
    """[13], [14] An id and a name of plain characters, an object for input."""
    matches(block.get("id"), _ID, f"{at}.id")
    matches(block.get("name"), r"^[a-zA-Z0-9_-]{1,128}$", f"{at}.name")
    if not isinstance(block.get("input"), dict):
        raise Refused(f"{at}.input: Input should be a valid dictionary")


def _tool_result(block: Body, at: str, model: Model) -> None:
    """[12], [13]: the content may be empty, or nothing but whitespace."""
    matches(block.get("tool_use_id"), _ID, f"{at}.tool_use_id")
    content = block.get("content", "")
    if not isinstance(content, str | list):
        raise Refused(f"{at}.content: Input should be a valid list")
    for part in content if isinstance(content, list) else []:
        if part.get("type") not in {"text", "image", "document", "search_result", "tool_reference", "browser_state"}:
            raise Refused(f"{at}.content: Input tag '{part.get('type')}' does not match any of the expected tags")


def _thinking(block: Body, at: str, model: Model) -> None:
    """[25] Bound to the model: only this server's own signature, for this model, is good."""
    if block.get("signature") != f"{SIGNATURE}{model.id}":
        raise Refused(f"{at}: Invalid `signature` in `thinking` block")


_CHECKS = {"text": _text, "image": _image, "tool_use": _tool_use, "tool_result": _tool_result, "thinking": _thinking}


def _tool_pairs(messages: list[Body]) -> None:
    """[9], [10], [11] Each call has its one result in the next message, ahead of everything else there."""
    seen: set[str] = set()
    asked: list[str] = []
    for at, message in enumerate([*messages, {"role": "user", "content": []}]):
        content = blocks(message)
        given = _leading_results(content)
        for index, block in enumerate(content):
            if block["type"] == "tool_result" and block["tool_use_id"] not in asked:
                raise Refused(
                    f"messages.{at}.content.{index}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{block['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use` block "
                    "in the previous message."
                )
        if missing := [each for each in asked if each not in given]:
            raise Refused(
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        if len(given) != len(set(given)):
            raise Refused("each tool_use must have a single result. Found multiple `tool_result` blocks with one id")
        asked = [block["id"] for block in content if block["type"] == "tool_use"]
        if len(asked) != len(set(asked)) or seen & set(asked):
            raise Refused("messages: `tool_use` ids must be unique")
        seen |= set(asked)


def _leading_results(content: list[Body]) -> list[str]:
    given: list[str] = []
    for block in content:
        if block["type"] != "tool_result":
            break
        given.append(block["tool_use_id"])
    return given


def _tools_declared(body: Body) -> None:
    """[17] Tools of the past are declared too."""
    used = {block["type"] for message in body["messages"] for block in blocks(message)}
    if used & {"tool_use", "tool_result"} and not body.get("tools"):
        raise Refused("Requests which include `tool_use` or `tool_result` blocks must define tools")


def _prefill(body: Body, model: Model) -> None:
    """[5] A final assistant message: nowhere from the 4.6 family on, and never with a space at its end."""
    last = body["messages"][-1]
    if last["role"] != "assistant":
        return
    if not model.takes_prefill:
        message = "This model does not support assistant message prefill."
        raise Refused(f"{message} The conversation must end with a user message.")
    texts = [block["text"] for block in blocks(last) if block["type"] == "text"]
    if texts and texts[-1] != texts[-1].rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")

"""A conversation in Anthropic's shape: system prompt and alternating turns of content blocks (cases 1 to 14, 28)."""

import base64
import binascii
from collections.abc import Iterable

import msgspec

from app.domain.errors import ContentNotTaken
from app.domain.request import JSON, Content, Message, MessageToolCall, text_of
from app.providers.anthropic.names import UniqueIds, fitting

SILENCE = "..."
"""Stands in for a user turn without words: Anthropic refuses an empty one (2, 7)."""

_STAND_IN: JSON = {"type": "text", "text": SILENCE}
"""Told from a user's own "..." by identity, so that the caller's words are never dropped."""

CONTINUE = "(continue)"
"""The user turn after a final assistant message, where the model takes no prefill (5)."""

IMAGE_TYPES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def to_system(messages: list[Message]) -> tuple[list[JSON], list[Message]]:
    """Return the system prompt's text blocks and the messages that follow it.

    Only what stands before the conversation is the system prompt. A system or developer message in the middle stays
    there: moved to the top it would break the prompt cache on every turn (6).
    """
    head = 0
    while head < len(messages) and messages[head]["role"] in ("system", "developer"):
        head += 1
    for index, message in enumerate(messages[:head]):
        _words(_content(message.get("content"), f"messages[{index}]"), f"messages[{index}]")
    texts = (text_of(message.get("content")) for message in messages[:head])
    return [{"type": "text", "text": text} for text in texts if text.strip()], messages[head:]


def to_turns(
    messages: list[Message], *, first_index: int = 0, prefill: bool = False, system_turns: bool = False
) -> list[JSON]:
    """Return the conversation as alternating turns that end with the user's, unless the model takes a prefill.

    `first_index` is the first message's place in the request, by which a ContentNotTaken names its field. With
    `system_turns` the model takes system messages in mid-conversation, directly after a user's turn.
    """
    turns: list[JSON] = []
    ids = UniqueIds()
    for index, message in enumerate(messages, first_index):
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = _blocks(message, f"messages[{index}]", ids)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"] = _tidied(turn["role"], turn["content"])
    # An assistant turn without anything says nothing; the user turns around it become one (1, 3).
    turns = _merged(turn for turn in turns if turn["content"])
    return _ended([part for turn in turns for part in _settled(turn, system_turns=system_turns)], prefill=prefill)


def _blocks(message: Message, path: str, ids: UniqueIds) -> list[JSON]:
    match message["role"]:
        case "assistant":
            calls = {call["id"]: call for call in message.get("tool_calls") or []}
            words = _words(_content(message.get("content"), path), path)
            return words + [_tool_use(call, ids) for call in calls.values()]
        case "tool":
            return [_tool_result(message, path, ids)]
        case "user":
            return _content(message.get("content"), path) or [_STAND_IN]
        case role:
            _words(_content(message.get("content"), path), path)
            text = text_of(message.get("content"))
            return [{"type": "system", "text": text, "role": role}] if text.strip() else []


def _words(blocks: list[JSON], path: str) -> list[JSON]:
    """Return the blocks; raises ContentNotTaken for what only a user may send."""
    if any(block["type"] != "text" for block in blocks):
        raise ContentNotTaken("The model's provider takes images and files from the user alone.", param=path)
    return blocks


def _tool_result(message: Message, path: str, ids: UniqueIds) -> JSON:
    # An empty result is valid: no text is invented for it (12).
    content = message.get("content") or ""
    return {
        "type": "tool_result",
        "tool_use_id": ids.of_result(message.get("tool_call_id", "")),
        "content": content if isinstance(content, str) else _content(content, path),
    }


def _tool_use(call: MessageToolCall, ids: UniqueIds) -> JSON:
    function = call["function"]
    return {
        "type": "tool_use",
        "id": ids.of_call(call["id"]),
        "name": fitting(function["name"]),
        "input": _input(function["arguments"]),
    }


def _input(arguments: str) -> JSON:
    """Return a past call's arguments as an object; what is none is kept as text, because history must not fail (14).

    What stands in them is passed on as it is: a million empty lists would take half a second to build.
    """
    if not arguments.strip():
        return {}
    try:
        return _decode_object(arguments)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return {"arguments": _decode_any(arguments)}
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": arguments}


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode


def _content(content: Content, path: str) -> list[JSON]:
    """Return the blocks of a message's content; text of nothing but white space is left out (2, 3)."""
    if content is None or isinstance(content, str):
        return [_text(content)] if content and content.strip() else []
    blocks = []
    for index, part in enumerate(content):
        block = _part(part, f"{path}.content[{index}]")
        if block["type"] != "text" or block["text"].strip():
            blocks.append(block)
    return blocks


def _part(part: JSON, path: str) -> JSON:
    match part["type"]:
        case "text":
            return _text(part["text"])
        case "refusal":
            return _text(part["refusal"])
        case "image_url":
            return _from_url(part["image_url"]["url"], f"{path}.image_url.url")
        case "file" if isinstance(part["file"].get("file_data"), str):
            return _from_url(part["file"]["file_data"], f"{path}.file.file_data")
        case kind:
            raise ContentNotTaken(f"The model's provider takes no content of type '{kind}'.", param=f"{path}.type")


def _from_url(url: str, path: str) -> JSON:
    """Return an image or document block for a web address or a base64 data URI (28)."""
    if not url.startswith("data:"):
        if not url.startswith(("https://", "http://")):
            raise ContentNotTaken("Expected an http(s) address or a base64 data URI.", param=path)
        return {"type": "image", "source": {"type": "url", "url": url}}
    head, _, data = url.removeprefix("data:").partition(",")
    media_type, *options = head.split(";")
    if "base64" not in options or not _is_base64(data):
        raise ContentNotTaken("Expected a base64 data URI.", param=path)
    media_type = {"image/jpg": "image/jpeg"}.get(media_type.lower(), media_type.lower())
    if media_type not in IMAGE_TYPES | {"application/pdf"}:
        raise ContentNotTaken(f"The model's provider takes no data of type '{media_type}'.", param=path)
    kind = "document" if media_type == "application/pdf" else "image"
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}


def _is_base64(data: str) -> bool:
    try:
        return bool(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return False


def _tidied(role: str, blocks: list[JSON]) -> list[JSON]:
    """Return a user turn's blocks with its tool results first (9) and no stand-in where there is something else."""
    if role == "assistant":
        return blocks
    results = [block for block in blocks if block["type"] == "tool_result"]
    others = [block for block in blocks if block["type"] != "tool_result"]
    words = [block for block in others if block is not _STAND_IN]
    return results + (words or ([] if results else others[:1]))


def _merged(turns: Iterable[JSON]) -> list[JSON]:
    merged: list[JSON] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn["role"]:
            merged[-1]["content"] += turn["content"]
        else:
            merged.append(turn)
    for turn in merged:
        turn["content"] = _tidied(turn["role"], turn["content"])
    return merged


def _settled(turn: JSON, *, system_turns: bool) -> list[JSON]:
    """Return the turn, and what a system message said during it: as a turn of its own after it, or inline (6)."""
    said = [block for block in turn["content"] if block["type"] == "system"]
    if not said:
        return [turn]
    others = [block for block in turn["content"] if block["type"] != "system"]
    if system_turns and others:
        return [{**turn, "content": others}, {"role": "system", "content": [_text(block["text"]) for block in said]}]
    content = turn["content"]
    return [{**turn, "content": [_inline(**block) if block["type"] == "system" else block for block in content]}]


def without_system_turns(turns: list[JSON]) -> list[JSON]:
    """Return the turns with those of the system inline, for a model that turned out not to take them (6)."""
    inlined: list[JSON] = []
    for turn in turns:
        if turn["role"] == "system":
            said = [_inline(block["text"]) for block in turn["content"]]
            inlined[-1] = {**inlined[-1], "content": inlined[-1]["content"] + said}
        else:
            inlined.append(turn)
    return inlined


def _inline(text: str, role: str = "system", **_: str) -> JSON:
    return _text(f"<{role}>\n{text}\n</{role}>")


def _ended(turns: list[JSON], *, prefill: bool) -> list[JSON]:
    if not turns:
        return [{"role": "user", "content": [_STAND_IN]}]
    last = turns[-1]
    if last["role"] == "assistant":
        if prefill and last["content"][-1]["type"] == "text":
            # A prefill must not end in white space (5).
            block = last["content"][-1]
            last["content"][-1] = _text(block["text"].rstrip())
        else:
            turns.append({"role": "user", "content": [_text(CONTINUE)]})
    return turns


def _text(text: str) -> JSON:
    return {"type": "text", "text": text}

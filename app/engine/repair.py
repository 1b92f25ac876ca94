"""A history mended for calls that an interruption cut off: every provider refuses a tool call without its result.

ElevenLabs leaves such histories behind whenever a caller barges in while a tool runs (cases 10 and 11).
"""

import re
from collections.abc import Iterable

from app.domain.request import Message, text_of

_MESSAGE = re.compile(r"messages\.?\[(\d+)\](.*)", re.DOTALL)

INTERRUPTED = "The call was interrupted before the tool answered."


def repaired(messages: list[Message]) -> list[Message]:
    """Return the messages with every tool call answered, directly after it and once; the same list if all is well.

    A call without a result gets one that says so. A result without a call becomes a user's message, so that what it
    says is not lost. Of several results for one call the last counts.
    """
    for message in messages:  # without `any`, which would resume a generator for each
        if message["role"] == "tool" or message.get("tool_calls"):
            break
    else:
        return messages
    mended: list[Message] = []
    exchange = _Exchange()
    for message in messages:
        if message["role"] == "tool":
            exchange.take(message)
        else:
            mended += exchange.end()
            mended.append(message)
            exchange = _Exchange(call["id"] for call in message.get("tool_calls") or [])
    mended += exchange.end()
    return messages if mended == messages else mended


def place_before_repair(param: str | None, mended: list[Message], messages: list[Message]) -> str | None:
    """Return the path of a field as the caller knows it, where a provider names one of the mended history."""
    found = _MESSAGE.match(param or "")
    if found is None or mended is messages or int(found[1]) >= len(mended):
        return param
    message = mended[int(found[1])]
    index = next((index for index, each in enumerate(messages) if each is message), None)
    return "messages" if index is None else f"messages[{index}]{found[2]}"


class _Exchange:
    """The calls of one message, and the results that follow it."""

    def __init__(self, calls: Iterable[str] = ()) -> None:
        self._calls = dict.fromkeys(calls)
        self._results: dict[str, Message] = {}
        self._strays: list[Message] = []

    def take(self, result: Message) -> None:
        """Take a result in."""
        if result["tool_call_id"] in self._calls:
            self._results[result["tool_call_id"]] = result
        else:
            text = text_of(result.get("content")) or "(nothing)"
            self._strays.append({"role": "user", "content": f"[Result of a tool]\n{text}"})

    def end(self) -> list[Message]:
        """Return what stands after the calls: one result for each, then what belongs to none."""
        missing = [call for call in self._calls if call not in self._results]
        made_up = [Message(role="tool", tool_call_id=call, content=INTERRUPTED) for call in missing]
        return [*self._results.values(), *made_up, *self._strays]

"""A history mended for calls that an interruption cut off: every provider refuses a tool call without its result.

ElevenLabs leaves such histories behind whenever a caller barges in while a tool runs (cases 10 and 11).
"""

from app.domain.request import Message, text_of

INTERRUPTED = "The call was interrupted before the tool answered."


def repaired(messages: list[Message]) -> list[Message]:
    """Return the messages with every tool call answered, directly after it and once; the same list if all is well.

    A call without a result gets one that says so. A result without a call becomes a user's message, so that what it
    says is not lost. Of several results for one call the last counts.
    """
    if not any(message["role"] == "tool" or message.get("tool_calls") for message in messages):
        return messages
    mended: list[Message] = []
    open_calls: dict[str, Message | None] = {}
    for message in messages:
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            if call_id in open_calls:
                open_calls[call_id] = message
            elif text := text_of(message.get("content")):
                mended += _answers(open_calls)
                open_calls = {}
                mended.append({"role": "user", "content": f"[Result of a tool]\n{text}"})
            continue
        mended += _answers(open_calls)
        open_calls = {call["id"]: None for call in message.get("tool_calls") or []}
        mended.append(message)
    return mended + _answers(open_calls)


def _answers(calls: dict[str, Message | None]) -> list[Message]:
    return [
        answer or {"role": "tool", "tool_call_id": call_id, "content": INTERRUPTED} for call_id, answer in calls.items()
    ]

"""What marshmallow found wrong, as pairs of a field's path and the reason; the path as OpenAI writes it."""

from collections.abc import Iterator
from typing import Any

OF_THE_WHOLE = "_schema"
"""marshmallow's key for what is wrong with an object as such, and not with one of its fields."""


def reasons(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each error with the path of its field, such as `messages[2].content`; "" stands for the whole."""
    if not isinstance(messages, dict):
        yield path, " ".join(map(str, messages)) if isinstance(messages, list) else str(messages)
        return
    for key, inner in messages.items():
        yield from reasons(inner, path + _step(key, path))


def _step(key: Any, path: str) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if key == OF_THE_WHOLE:
        return ""
    return f".{key}" if path else str(key)

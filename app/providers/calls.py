"""The tool calls of one answer, whatever way a provider numbers and splits them."""

import uuid
from collections.abc import Hashable

import msgspec

from app.domain.events import ToolCall


class ToolCalls:
    """Numbers tool calls from 0 in order of appearance (case 30) and gives each an id and whole arguments.

    `key` is the provider's own number of a call: an index, or a content block's index. Gaps in it do not matter.
    """

    def __init__(self) -> None:
        self._index: dict[Hashable, int] = {}
        self._ids: dict[int, str] = {}
        self._without_arguments: set[int] = set()
        self._without_id: dict[int, tuple[str, str]] = {}
        """Calls that came without an id: name and arguments so far, all that tells the next such call from them."""

    def __len__(self) -> int:
        return len(self._ids)

    def piece(self, key: Hashable, call_id: str | None, name: str | None, arguments: str) -> ToolCall | None:
        """Return the event for a piece of a call; None where the piece adds nothing, or belongs to no call."""
        index = self._index.get(key)
        if index is None or (name and self._begins_another(index, call_id, name, arguments)):
            if not name:
                return None
            return self._begin(key, call_id, name, arguments)
        if not arguments:
            return None
        self._without_arguments.discard(index)
        if index in self._without_id:
            own_name, so_far = self._without_id[index]
            self._without_id[index] = own_name, so_far + arguments
        return ToolCall(index, arguments=arguments)

    def finish(self) -> list[ToolCall]:
        """Return the pieces that make the arguments of calls that had none an empty object."""
        missing = sorted(self._without_arguments)
        self._without_arguments.clear()
        return [ToolCall(index, arguments="{}") for index in missing]

    def _begin(self, key: Hashable, call_id: str | None, name: str, arguments: str) -> ToolCall:
        index = len(self._ids)
        self._index[key] = index
        self._ids[index] = call_id or f"call_{uuid.uuid4().hex[:24]}"
        if not call_id:
            self._without_id[index] = name, arguments
        if not arguments:
            self._without_arguments.add(index)
        return ToolCall(index, self._ids[index], name, arguments)

    def _begins_another(self, index: int, call_id: str | None, name: str, arguments: str) -> bool:
        """Whether a named piece under a known key is a call of its own: some servers give every call the index 0.

        Then the id tells calls apart; without ids another name does, or that the arguments so far are whole: nothing
        can be added to those.
        """
        if call_id:
            return call_id != self._ids[index]
        if index not in self._without_id:
            return False
        own_name, so_far = self._without_id[index]
        return name != own_name or (bool(arguments) and _is_whole(so_far))


def _is_whole(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True

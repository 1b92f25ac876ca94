"""Names of tools and ids of tool calls, made to fit Anthropic's pattern and back (cases 13 and 16)."""

import hashlib
import re
from collections.abc import Iterable

_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST = 128


def fitting(name: str) -> str:
    """Return a name that fits `^[a-zA-Z0-9_-]{1,128}$`: the same where it does already, else marked by a hash.

    The hash keeps two names apart that would otherwise become one; the same name always gives the same result.
    """
    if name and len(name) <= _LONGEST and not _NOT_ALLOWED.search(name):
        return name
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_NOT_ALLOWED.sub('_', name)[: _LONGEST - 9]}_{mark}"


def originals(names: Iterable[str]) -> dict[str, str]:
    """Return the way back from fitting names to the caller's own, for those that had to be changed."""
    return {fitting(name): name for name in names if fitting(name) != name}


class UniqueIds:
    """The ids of one conversation's calls: fitting, and made to differ where a later turn uses one again.

    OpenAI pairs a call with its result within one turn, and some models begin at call_0 in each; Anthropic wants every
    id of the conversation once.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._latest: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def of_call(self, call_id: str) -> str:
        """Return the id of a new call."""
        number = self._numbers.get(call_id, 1)
        unique = fitting(call_id if number == 1 else f"{call_id}_{number}")
        while unique in self._taken:
            number += 1
            unique = fitting(f"{call_id}_{number}")
        self._taken.add(unique)
        self._numbers[call_id] = number + 1
        self._latest[call_id] = unique
        return unique

    def of_result(self, call_id: str) -> str:
        """Return the id of the call that a result belongs to: the latest one of that id."""
        return self._latest.get(call_id) or fitting(call_id)

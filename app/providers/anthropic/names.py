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

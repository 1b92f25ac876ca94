"""Learning from a refusal: a 400 that names what may be left out is answered by leaving it out, once, and remembered.

What may be left out or made milder is a table of each provider's; messages, tools and response_format are in none.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from app.domain.errors import ContextTooLong, ProviderRequestRefused
from app.domain.events import Events
from app.domain.request import JSON

LOGGER = logging.getLogger("glottis")

REMEMBERED_S = 3600.0
MOST_PER_TURN = 3
"""A model may refuse several things, one after the other; each costs a round trip."""


class Lesson(NamedTuple):
    """How a refusal is known by the provider's words, and what it changes in the body of the next request.

    `param` is the field that the refusal names where it is not the lesson's own name.
    """

    words: re.Pattern[str]
    mend: Callable[[JSON], None]
    param: str | None = None


NOTHING: frozenset[str] = frozenset()

Table = Mapping[str, Lesson]


class Lessons:
    """What the models of one provider have refused, by model, each for REMEMBERED_S."""

    def __init__(self, provider: str, table: Table, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._table = table
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def of(self, model: str) -> frozenset[str]:
        """Return the names of the lessons that this model has taught."""
        if not self._until:
            return NOTHING
        now = self._clock()
        return frozenset(name for (taught_by, name), until in self._until.items() if taught_by == model and now < until)

    def mended(self, body: JSON, names: Set[str]) -> JSON:
        """Return the body, changed in place, as these lessons want it."""
        for name, lesson in self._table.items():
            if name in names:
                lesson.mend(body)
        return body

    def answer(self, model: str, call: Callable[[Set[str]], Events]) -> Events:
        """Yield the answer that `call(lessons)` gives, learning from refusals before its first event.

        Raises what the call raises; a refusal too, if it teaches nothing or nothing new.
        """
        for _ in range(MOST_PER_TURN):
            known = self.of(model)
            events = call(known)
            try:
                first = next(events, None)
            except ProviderRequestRefused as refusal:
                name = self._taught_by(refusal)
                if name is None or name in known:
                    raise
                self._learn(model, name)
                continue
            if first is not None:
                del call  # which holds the request
                yield first
                yield from events
            return
        yield from call(self.of(model))

    def _taught_by(self, refusal: ProviderRequestRefused) -> str | None:
        if isinstance(refusal, ContextTooLong):
            return None
        for name, lesson in self._table.items():
            if refusal.param in (None, lesson.param or name) and lesson.words.search(refusal.message):
                return name
        return refusal.param if refusal.param in self._table else None

    def _learn(self, model: str, name: str) -> None:
        self._until[model, name] = self._clock() + REMEMBERED_S
        fields = {"provider": self._provider, "model": model, "left_out": name}
        LOGGER.warning("model_refuses", extra={"fields": fields})


def mentions(name: str) -> re.Pattern[str]:
    """Return what finds a field's name in a message: a plain word like `user` only where it stands as a name."""
    return re.compile(rf"\b{name}\b" if "_" in name else rf"""['"`]{name}['"`]|\b{name}:""")


def without(*names: str) -> Callable[[JSON], None]:
    """Return what leaves these fields out of a body."""

    def mend(body: JSON) -> None:
        for name in names:
            body.pop(name, None)

    return mend


def renamed(old: str, new: str) -> Callable[[JSON], None]:
    """Return what gives a field of a body another name."""

    def mend(body: JSON) -> None:
        if old in body:
            body[new] = body.pop(old)

    return mend

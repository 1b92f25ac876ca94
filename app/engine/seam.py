"""Where an answer was cut and another attempt goes on: the request that asks for it, and the seam between the two.

The new attempt is asked to begin with the last word that was said. So a word that was cut in the middle is completed,
and nobody need guess whether a space belongs between the two. What it repeats, from the beginning of the answer or of
any word, is not said twice; a new text that repeats nothing goes on exactly where the old one stopped.
"""

import re

import msgspec

from app.domain.request import Message, TurnRequest

GO_ON = (
    "Your answer was cut off there, while it was being spoken. Go on from exactly that point: begin with its last "
    'word, "{word}", and say the rest. Do not start again, do not apologise, and do not mention the interruption.'
)

TOO_LONG_FOR_CHANCE = 12
"""Characters, white space not counted."""

MOST_STARTS = 200
"""Of the words at which a repetition may begin, the last so many; and the beginning of the answer."""

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[\u0e00-\u0e7f\u2e80-\u9fff\uf900-\ufaff]|[^\s\u0e00-\u0e7f\u2e80-\u9fff\uf900-\ufaff]+")
"""In scripts without spaces every character may begin a word."""


def continuation(request: TurnRequest, said: str) -> TurnRequest:
    """Return the request that asks another attempt to go on after `said`; no prefill, which many models refuse."""
    words = _WORD.findall(said)
    go_on = GO_ON.format(word=words[-1] if words else "")
    messages: list[Message] = [
        *request.messages,
        {"role": "assistant", "content": said},
        {"role": "user", "content": go_on},
    ]
    return msgspec.structs.replace(request, messages=messages)


class Seam:
    """Takes the new attempt's text piece by piece and gives back what has not been said yet.

    What is compared is the text without its white space. A piece costs a comparison of its length for every place at
    which a repetition may still have begun.
    """

    def __init__(self, said: str) -> None:
        self._said = said
        self._bare = _SPACE.sub("", said)
        self._held: str | None = ""
        self._bare_held = ""
        self._starts = _word_starts(said)  # the longest repetition first

    def feed(self, text: str) -> str:
        """Return what may be said now; "" while it may still be a repetition."""
        if self._held is None:
            return text
        bare, known = _SPACE.sub("", text), len(self._bare_held)
        self._held += text
        self._bare_held += bare
        self._starts = [at for at in self._starts if _agree(self._bare, at + known, bare)]
        return self._decided(self._held, is_end=False)

    def flush(self) -> str:
        """Return what is still held, at the end of the new text."""
        return "" if self._held is None else self._decided(self._held, is_end=True)

    def _decided(self, held: str, *, is_end: bool) -> str:
        while self._starts:
            length = len(self._bare) - self._starts[0]
            if len(self._bare_held) >= length:
                rest = held[_end_of(held, length) :]
                if not (is_end or rest.strip()):
                    return ""
                if self._is_repetition(held, length, rest):
                    self._held = None
                    return self._joined(rest)
            elif not is_end:
                return ""
            self._starts.pop(0)
        if not (self._bare_held or is_end):
            return ""
        self._held = None
        return held

    def _is_repetition(self, held: str, length: int, rest: str) -> bool:
        """Whether what is the same is said again, or is only alike: `rest` follows it in the new text."""
        if self._said[-1].isspace():
            return not rest or rest[0].isspace()  # the last word was whole, so the new one must be
        if not held[0].isspace() or "\n" in held[: len(held) - len(held.lstrip())]:
            return True
        # A text that begins with a space may simply go on. The same word would stand twice then, which figures alone
        # do ("5 5", " 5 1"), or be another one's beginning ("can", " cannot"), unless it is too long for chance.
        again = held[: len(held) - len(rest)]
        return sum(map(str.isalpha, again)) >= 2 and (length >= TOO_LONG_FOR_CHANCE or not rest[:1].isalnum())

    def _joined(self, rest: str) -> str:
        """Leave out the white space that stands at the end of what was said already."""
        spaces = self._said[len(self._said.rstrip()) :]
        return rest.removeprefix(spaces) if rest.startswith(spaces) else rest.lstrip()


def _end_of(text: str, length: int) -> int:
    """Return where the first `length` characters of a text end, white space not counted."""
    at = 0
    while length and at < len(text):
        length -= not text[at].isspace()
        at += 1
    return at


def _word_starts(text: str) -> list[int]:
    """Return where the answer and its last words begin, counted without white space."""
    starts, at = [], 0
    for word in _WORD.findall(text):
        starts.append(at)
        at += len(word)
    return starts[:1] + starts[1:][-MOST_STARTS:]


def _agree(said: str, at: int, new: str) -> bool:
    """Whether `said` from `at` and `new` are the same as far as both go."""
    length = min(len(said) - at, len(new))
    return said[at : at + length] == new[:length]

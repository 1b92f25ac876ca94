"""The table of faults: a model's name, and the script by which it answers in either wire format.

A script is told what was asked (`Ask`), so that a fault may pass, and a fallback go on from what was said.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faults.wires import OPENING_EVENTS, Short, Wire, broken, stream_of
from upstreams import Answer, Cut, Hold, Send, Wait
from upstreams import openai as gpt

TEXT = (
    "Good morning and thank you for calling the dental practice on Mill Street. We are open from Monday to Friday, "
    "nine in the morning until five in the afternoon, and on the first Saturday of the month until noon. If you want "
    "to move an appointment, tell me your name and a day that suits you; otherwise I connect you."
)
"""What every model of this provider wants to say: 60 words."""

SLOWLY = "A word at times."

FEW_S = 0.08
WAIT_S = 0.4
LATE_S = 1.6
SLOW_S = 0.25
"""Scaled times: a Retry-After that is waited for, one of a patient route, a late first word, a gap between words."""


def words(text: str) -> list[str]:
    """Cut a text into words, the space before each."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def said_words(count: int) -> str:
    """The first words of the text."""
    return "".join(words(TEXT)[:count])


@dataclass
class Ask:
    """A request that a script answers: its wire format, how often this model was asked in this turn, what was said."""

    wire: Wire
    time: int
    said: str
    ends_with: str
    """The role of the last message."""

    @property
    def rest(self) -> str:
        """What is left to be said."""
        if not TEXT.startswith(self.said):
            return " [lost the thread]"
        return TEXT[len(self.said) :]

    def healthy(self) -> Answer:
        """Go on from exactly where the answer broke off, or answer whole; with nothing left, the last word again."""
        return self.wire.words(words(self.rest or self.said.split()[-1]))

    def once(self, answer: Answer) -> Answer:
        """Break the first time, and be fine from then on."""
        return answer if self.time == 0 else self.healthy()


Fault = Callable[[Ask], Answer]
Maker = Callable[[Wire], Answer]


def _always(make: Maker) -> Fault:
    return lambda ask: make(ask.wire)


def _once(make: Maker) -> Fault:
    return lambda ask: ask.once(make(ask.wire))


def _status(status: int, retry_after_s: float | None = None) -> Maker:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    return lambda wire: wire.error(status, headers=headers)


def _cut(count: int) -> Maker:
    return lambda wire: wire.words([*words(TEXT)[:count], Cut()])


def _malformed(wire: Wire) -> Answer:
    good = 9 - OPENING_EVENTS[wire.name]
    return wire.words([*words(TEXT)[:good], broken(wire), *words(TEXT)[good:]])


PACE_S = 0.01

FLOOD = 60_000
"""Thoughts without a wait between them: more than the gateway takes in a second or two."""

WAVES, WAVE = 4000, gpt.chunk({"content": "and "}) * 200
"""The same of words, of which those that come together are one event."""


def _for_ever(*steps: Any) -> list[Any]:
    return [*steps, Wait(0.05)] * 400


def _pieces(text: str, size: int = 7) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _one_by_one(pieces: list[str]) -> list[Any]:
    """Each piece in a packet of its own: what comes in one packet is handed on in one piece."""
    return [step for piece in pieces for step in (Wait(PACE_S), piece)]


def _last_word(said: str) -> str:
    return _from_word(said, 1)


def _five_before(said: str) -> str:
    return _from_word(said, 5)


def _from_word(said: str, count: int) -> str:
    """The last words of what was said, with whatever white space is behind them."""
    return said[len("".join(words(said.rstrip())[:-count])) :].lstrip()


FAULTS: dict[str, Fault] = {
    # Refused, for a while or for good.
    "429-soon": _once(_status(429, FEW_S)),
    "429-wait": _once(_status(429, WAIT_S)),
    "429-later": _once(_status(429, 2)),
    "429-always": _always(_status(429)),
    "429-always-later": _always(_status(429, 2)),
    "408-once": _once(_status(408)),
    "500-once": _once(_status(500)),
    "500-always": _always(_status(500)),
    "503-always": _always(_status(503)),
    "529-always": _always(_status(529)),
    "401": _always(_status(401)),
    "403": _always(_status(403)),
    "404": _always(_status(404)),
    "context-400": lambda ask: ask.wire.too_long,
    "filter-400": lambda ask: ask.wire.filtered,
    "bad-parameter": lambda ask: ask.wire.bad_parameter,
    "refusal": _always(lambda wire: wire.words([], finish=wire.refused)),
    "refusal-after-5": _always(lambda wire: wire.words(words(TEXT)[:5], finish=wire.refused)),
    # No word comes.
    "reset-once": _once(lambda _: Answer.reset()),
    "reset": _always(lambda _: Answer.reset()),
    "silent": _always(lambda _: Answer.silent()),
    "headers-only": _always(lambda _: stream_of([Hold()])),
    "late-token": _always(lambda wire: wire.words(words(TEXT), steps=[Wait(LATE_S)])),
    "role-only": _always(lambda wire: wire.words([Hold()])),
    "pings": _always(lambda wire: stream_of(_for_ever(Send(wire.ping)))),
    "thinking": _always(lambda wire: wire.thinking(_for_ever("Hm. "))),
    "page": _always(lambda _: Answer.html(200)),
    "malformed-first": _always(lambda wire: stream_of([broken(wire)])),
    "error-event-first": _always(lambda wire: stream_of([Send(wire.error_event), Hold()])),
    "unfinished-0": _always(lambda wire: Short(whole=wire.words([]))),
    "empty-once": _once(lambda wire: wire.words([])),
    "empty": _always(lambda wire: wire.words([])),
    # Some words come.
    "cut-40-once": _once(_cut(40)),
    "cut-40": _always(_cut(40)),
    "cut-1-once": _once(_cut(1)),
    "cut-in-word": _once(lambda wire: wire.words([*_pieces(TEXT)[:30], Cut()])),
    "cut-after-space": _once(lambda wire: wire.words([*(f"{word} " for word in TEXT.split()[:40]), Cut()])),
    "stall-20": _always(lambda wire: wire.words([*words(TEXT)[:20], Hold()])),
    "pings-after-20": _always(lambda wire: wire.words([*words(TEXT)[:20], *_for_ever(Send(wire.ping))])),
    "malformed-10": _always(_malformed),
    "error-event-10": _always(lambda wire: wire.words([*words(TEXT)[:10], Send(wire.error_event), Hold()])),
    "unfinished-40": _always(lambda wire: Short(whole=wire.words(words(TEXT)[:40]))),
    "no-end": _always(lambda wire: Short(whole=wire.words(words(TEXT)), less=1)),
    "held-end": _always(lambda wire: Short(whole=wire.words(words(TEXT)), less=1, holds=True)),
    "slow": _always(lambda wire: wire.words([step for word in words(SLOWLY) for step in (Wait(SLOW_S), word)])),
    "flood": _always(lambda wire: wire.words([Send(WAVE)] * WAVES)),
    "flood-of-thoughts": _always(lambda wire: wire.thinking(["Hm. "] * FLOOD)),
    "endless": _always(lambda wire: wire.words(_for_ever("and "))),
    "tool-cut": _always(lambda wire: wire.tool([("call_1", "end_call", ['{"reason":', Cut()])])),
    "words-then-tool-cut": _always(
        lambda wire: wire.tool([("call_1", "end_call", ['{"reason":', Cut()])], text=words("One moment."))
    ),
    "late-cut": _once(lambda wire: wire.words([*words(TEXT)[:40], Cut()], steps=[Wait(LATE_S)])),
    "late-tool": _always(lambda wire: wire.tool([("call_1", "end_call", [Wait(LATE_S), '{"reason":"bye"}'])])),
    # Nothing is wrong: fallbacks, each with its own way to go on.
    "healthy": Ask.healthy,
    "tool": _always(lambda wire: wire.tool([("call_1", "end_call", ['{"reason"', ':"bye"}'])])),
    "no-prefill": lambda ask: ask.wire.no_prefill if ask.ends_with == "assistant" else ask.healthy(),
    "repeats-all": lambda ask: ask.wire.words(_pieces(TEXT)),
    "repeats-all-at-once": lambda ask: ask.wire.words([TEXT]),
    "repeats-five": lambda ask: ask.wire.words(_one_by_one(_pieces(_five_before(ask.said) + ask.rest))),
    "repeats-all-spaced": lambda ask: ask.wire.words(_pieces("\n" + TEXT.replace(" ", "  "))),
    "repeats-five-spaced": lambda ask: ask.wire.words(
        ["\n", *_pieces(_five_before(ask.said).replace(" ", " \n") + ask.rest)]
    ),
    "repeats-last": lambda ask: ask.wire.words(_pieces(_last_word(ask.said) + ask.rest)),
    "repeats-last-spaced": lambda ask: ask.wire.words(["\n\n", *_pieces(_last_word(ask.said) + ask.rest)]),
    "counted": lambda ask: ask.wire.words(words(ask.rest), usage=COUNTED[ask.wire.name]),
}  # fmt: skip

COUNTED: dict[str, Any] = {
    "openai": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
    "anthropic": {"input_tokens": 100, "output_tokens": 7},
}
"""What the model `counted` says of its answer."""

assert len(words(TEXT)) == 60

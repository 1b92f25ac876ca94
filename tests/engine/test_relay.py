"""Relay: the answer as it comes, with exactly one finish and one usage, or an error where it was cut."""

from collections.abc import Iterator

import pytest

from app.domain.errors import ProviderBroken, ProviderTimeout
from app.domain.events import Event, Finish, Reasoning, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.engine.relay import Tally, counted, estimated_usage, relay

REQUEST = TurnRequest(
    model="m",
    messages=[{"role": "system", "content": "x" * 9}, {"role": "user", "content": [{"type": "text", "text": "1234"}]}],
)
USAGE = Usage(prompt_tokens=3, completion_tokens=4)
STOP = Finish("stop")
HI = Text("Hi")


def heard(*events: Event | Exception) -> tuple[list[Event], Tally]:
    """Relay what a provider yields, or raises; what came out, and the tally."""
    tally = Tally()

    def answer() -> Iterator[Event]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return list(relay(answer(), REQUEST, tally)), tally


@pytest.mark.parametrize(
    ("events", "out"),
    [
        ([Start("id"), HI, STOP, USAGE], [Start("id"), HI, STOP, USAGE]),
        ([USAGE, HI, STOP], [HI, STOP, USAGE]),
        ([Usage(1, 0), HI, STOP, USAGE], [HI, STOP, USAGE]),
        ([HI, STOP, Text("more"), Finish("length"), USAGE], [HI, STOP, USAGE]),
        ([STOP, USAGE], [STOP, USAGE]),
        ([Reasoning("hm"), HI, STOP, USAGE], [Reasoning("hm"), HI, STOP, USAGE]),
        ([HI, STOP, USAGE, ProviderBroken()], [HI, STOP, USAGE]),
    ],
)
def test_one_finish_and_one_usage(events: list[Event | Exception], out: list[Event]) -> None:
    """The finish is handed on at once and ends the answer; the last usage comes last; a late failure harms nobody."""
    assert heard(*events)[0] == out


@pytest.mark.parametrize(
    ("failure", "raised"), [([ProviderTimeout()], ProviderTimeout), ([], ProviderBroken), ([USAGE], ProviderBroken)]
)
def test_a_cut_answer_is_never_a_clean_end(failure: list[Event | Exception], raised: type[Exception]) -> None:
    """An answer without its finish ends with an error, whether its provider says so or not."""
    with pytest.raises(raised):
        heard(HI, *failure)


def test_usage_is_estimated_where_none_is_given() -> None:
    """A provider that counts nothing gets a guess by length, marked as one; a failure after the finish too."""
    guess = Usage(prompt_tokens=4, completion_tokens=2, estimated=True)
    assert heard(Text("12345"), STOP)[0][-1] == guess
    assert heard(Text("12345"), STOP, ProviderBroken())[0][-1] == guess
    assert estimated_usage(REQUEST, 0).completion_tokens == 0


def test_the_tally() -> None:
    """What an answer came to is counted on the way, in whatever order its calls come."""
    first, second = ToolCall(0, "a", "f"), ToolCall(1, "b", "g")
    _, tally = heard(Start("id"), Text("Hi "), Text("there"), second, first, ToolCall(0, arguments="{}"), STOP, USAGE)
    assert (tally.start, tally.text_chars, tally.tool_calls) == (Start("id"), 8, 2)
    assert (tally.finish, tally.usage) == (STOP, USAGE)


def test_a_prompt_of_no_tokens_was_not_counted() -> None:
    """A provider that begins before it has counted the prompt gets a guess for it; its other counts stand."""
    request = TurnRequest(model="m", messages=[{"role": "user", "content": "x" * 40}])
    usage = counted(Usage(prompt_tokens=0, completion_tokens=9), request, 100)
    assert usage == Usage(prompt_tokens=10, completion_tokens=9, estimated=True)
    assert counted(USAGE, request, 100) is USAGE

"""Events: which of them a caller can hear."""

import gc
from typing import get_args

import pytest

from app.domain.events import (
    Event,
    Filler,
    Finish,
    Pause,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCall,
    Usage,
    is_speakable,
)

SPEAKABLE: list[tuple[Event, bool]] = [
    (Start("id", "model"), False),
    (Text("Hi"), True),
    (Text(" \n"), False),
    (Text(" Hi"), True),
    (Text(""), False),
    (Reasoning("hm"), False),
    (Refusal("I can't"), True),
    (Refusal(""), False),
    (ToolCall(0, "call_1", "end_call", ""), True),
    (Finish("stop"), False),
    (Filler("Hm... "), False),
    (Pause(), False),
    (Usage(1, 1), False),
]


@pytest.mark.parametrize(("event", "speakable"), SPEAKABLE)
def test_speakable(event: Event, speakable: bool) -> None:
    """A turn commits to what can be heard or acts, and to nothing else."""
    assert is_speakable(event) is speakable


def test_every_kind_of_event_has_its_row() -> None:
    """A new kind of event must say whether it is speakable."""
    assert {type(event) for event, _ in SPEAKABLE} == set(get_args(Event))


@pytest.mark.parametrize("event", [event for event, _ in SPEAKABLE])
def test_events_cost_the_garbage_collector_nothing(event: Event) -> None:
    """One is made for every chunk, so none is tracked."""
    assert not gc.is_tracked(event)

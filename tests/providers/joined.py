"""Words that came in one packet are one event: comparisons are made of events whose neighbouring words are joined."""

from collections.abc import Iterable

from app.domain.events import Event, Text


def joined(events: Iterable[Event]) -> list[Event]:
    """Return the events with words that follow each other as one."""
    made: list[Event] = []
    for event in events:
        last = made[-1] if made else None
        if isinstance(event, Text) and isinstance(last, Text) and not (event.logprobs or last.logprobs):
            made[-1] = Text(last.text + event.text)
        else:
            made.append(event)
    return made

"""After commit: one attempt's answer handed on event by event, up to its finish, and what it cost."""

from collections.abc import Iterator

from app.domain.errors import GlottisError, ProviderBroken
from app.domain.events import Event, Finish, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.engine.attempt import LiveAttempt, closed_quietly
from app.engine.patience import Patience
from app.engine.seam import Seam
from app.engine.tally import Tally, counted


def relay(
    attempt: LiveAttempt, request: TurnRequest, tally: Tally, patience: Patience, *, said: str = ""
) -> Iterator[Event]:
    """Yield the attempt's answer to its one Finish, end its call, and add its usage to the tally.

    With `said`, the attempt goes on after those words: what it says of them again is left out. Raises GlottisError
    where the answer breaks off before its Finish; after it, there is nothing left to lose.
    """
    seam = Seam(said) if said else None
    usage: Usage | None = None
    chars = 0
    is_finished = False
    budget = request.budget
    heartbeat_s = budget.heartbeat_s if request.stream and budget.heartbeat_s < budget.idle_s else 0.0
    try:
        for event in patience.over(attempt.events(heartbeat_s)):
            if type(event) is Usage:
                usage = event
            elif not is_finished:
                if type(event) is Text:
                    chars += len(event.text)
                is_finished = type(event) is Finish
                for piece in (event,) if seam is None else _past(seam, event):
                    tally.count(piece)
                    yield piece
                if is_finished:
                    patience.hurry()  # what may still come is the usage: nobody waits for it for long
    except GlottisError:
        if not is_finished:
            raise
    finally:
        closed_quietly(attempt)
        attempt.usage = counted(usage, request, chars)
        tally.add(attempt.usage)
    if not is_finished:
        raise ProviderBroken(detail="the answer ended without a finish")


def _past(seam: Seam, event: Event) -> Iterator[Event]:
    """Yield what an event of a continuing attempt adds to what was said."""
    if isinstance(event, Start):
        return  # the answer has its name already
    rest = seam.feed(event.text) if isinstance(event, Text) else seam.flush() if _ends_words(event) else ""
    if rest:
        yield Text(rest)
    if not isinstance(event, Text):
        yield event


def _ends_words(event: Event) -> bool:
    """Whether no more words follow."""
    return isinstance(event, Finish | ToolCall)

"""One upstream call for a turn: in a greenlet of its own until it speaks, then read by whoever reads the turn."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain

import gevent
from gevent.queue import Empty, Queue, SimpleQueue

from app.domain.config import Target
from app.domain.errors import EmptyAnswer, ProviderBroken
from app.domain.events import Event, Events, Finish, Pause, Reasoning, Start, Usage, is_speakable
from app.domain.ports import Provider
from app.domain.request import TurnRequest, text_of
from app.domain.turn import Attempt, Outcome
from app.engine.patience import IN_A_ROW, let_others

MUTE_S = 1.0
"""Time enough for a sign that a target is back."""

LAST_S = 1.0
"""For a reader to let go of its call; longer only where a user's own function clings to it."""

SILENCE = frozenset(" .…\n\t")
"""What a user turn is made of, for a platform that sends one when the caller says nothing: "..." or nothing."""


class LiveAttempt:
    """A call that has begun. It puts itself into `arrivals` when it speaks, or when it has failed, with its `error`.

    `close` ends it, at any moment and more than once.
    """

    def __init__(
        self,
        target: Target,
        provider: Provider,
        request: TurnRequest,
        arrivals: "SimpleQueue[LiveAttempt]",
        deadline_s: float,
    ) -> None:
        """Begin the call; `deadline_s` is when it must have spoken, by the turn's `Patience.now_s`."""
        self.target = target
        self.error: BaseException | None = None
        self.first_speakable_at: float | None = None
        self.usage: Usage | None = None
        self.is_probe = False
        """Whether it is to find out if its target is back."""
        self.began_at = time.monotonic()
        self.deadline_s = deadline_s
        self._request = request
        self._arrivals = arrivals
        self._call = partial(provider.stream, request, target.model)
        self._events: Events | None = None
        self._paced: Events | None = None
        self._before_commit: list[Event] = []
        self._is_closed = False
        self._greenlet: gevent.Greenlet | None = gevent.spawn(self._listen)

    def events(self, heartbeat_s: float = 0.0) -> Iterator[Event]:
        """Return the answer from its start; raises ProviderError where it breaks off.

        With `heartbeat_s` it yields a Pause whenever nothing has come for so long.
        """
        rest = self._events or iter(())
        if heartbeat_s:
            rest = self._paced = _paced(rest, heartbeat_s)
        return chain(self._before_commit, rest)

    def is_mute(self) -> bool:
        """Whether it has not spoken although it had MUTE_S."""
        return self.first_speakable_at is None and time.monotonic() - self.began_at > MUTE_S

    def close(self) -> None:
        """End the upstream call."""
        self._is_closed = True
        if self._greenlet is not None:
            self._greenlet.kill(block=False)  # which closes the call from within
            return
        if self._paced is not None:
            self._paced.close()  # or the call would still be read
        if self._events is not None:
            self._events.close()

    def record(self, outcome: Outcome, turn_began_at: float, error: BaseException | None = None) -> Attempt:
        """Return what is told of this attempt, now that it is over; that the caller went is no error of it."""
        return Attempt(
            target=str(self.target),
            began_ms=round((self.began_at - turn_began_at) * 1000, 1),
            duration_ms=round((time.monotonic() - self.began_at) * 1000, 1),
            outcome=outcome,
            error=type(error).__name__ if isinstance(error, Exception) else None,
            upstream_status=getattr(error, "upstream_status", None),
            usage=self.usage,
            response_model=self._response_model(),
        )

    def _response_model(self) -> str | None:
        """Return what the provider calls the model, where that is another name than the target's."""
        said = next((event.model for event in self._before_commit if type(event) is Start), "")
        return said if said and said != self.target.model else None

    def _listen(self) -> None:
        """Call, and wait for the first event that the caller can hear, or for the end."""
        try:
            self._events = self._call()
            del self._call  # an answer may be long, and a worker has thousands of them
            self._until_it_speaks(self._events)
        except BaseException as error:  # whatever it is, the turn must hear of it
            self.error = error
        self._greenlet = None
        arrivals = self._arrivals
        del self._arrivals  # which is for the race alone
        if not self._is_closed:
            arrivals.put(self)
        elif self._events is not None:
            closed_quietly(self._events)  # it spoke in the very moment, or will not hear of it

    def _until_it_speaks(self, events: Events) -> None:
        for count, event in enumerate(events, 1):
            if count % IN_A_ROW == 0:
                let_others()
            if type(event) is not Reasoning or self._request.reasoning_content:
                self._before_commit.append(event)
            if is_speakable(event):
                self.first_speakable_at = time.monotonic()
                return
            if isinstance(event, Finish):
                if event.reason != "content_filter" and not silence_is_an_answer(self._request):
                    closed_quietly(events)
                    raise EmptyAnswer(detail=f"finish_reason {event.reason}, no text, no tool call")
                return
        raise ProviderBroken(detail="the answer ended without a finish")


def closed_quietly(call: "Events | LiveAttempt") -> None:
    """Close what nobody listens to any more: that it fails to close is no reason to fail a turn."""
    with contextlib.suppress(Exception):
        call.close()


def wait_for_end(attempts: list[LiveAttempt]) -> None:
    """Return when the calls of attempts that were closed have ended, or after LAST_S."""
    gevent.joinall([call for attempt in attempts if (call := attempt._greenlet) is not None], timeout=LAST_S)


def silence_is_an_answer(request: TurnRequest) -> bool:
    """Whether a model may say nothing: the caller said nothing either, and the agent may skip its turn.

    ElevenLabs sends a user turn of "..." for silence, and offers the tool `skip_turn` to agents that may wait.
    """
    offered = any(tool["function"]["name"] == "skip_turn" for tool in request.tools)
    last = next((message for message in reversed(request.messages) if message["role"] == "user"), None)
    return offered and last is not None and set(text_of(last.get("content"))) <= SILENCE


def _paced(events: Iterator[Event], heartbeat_s: float) -> Events:
    """Yield the events, read by a greenlet of their own, and a Pause whenever none has come for so long."""
    read: Queue[Event | BaseException | None] = Queue(IN_A_ROW)

    def put_all() -> None:
        try:
            for event in events:
                read.put(event)
            read.put(None)
        except gevent.GreenletExit:
            pass
        except BaseException as error:
            read.put(error)

    reader = gevent.spawn(put_all)
    try:
        while True:
            try:
                event = read.get(timeout=heartbeat_s)
            except Empty:
                yield Pause()
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        reader.kill(timeout=LAST_S)  # the call can be closed only when nobody reads it any more

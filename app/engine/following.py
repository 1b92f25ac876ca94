"""An answer that another worker makes, heard here: a copy of a turn that reached this worker.

Whoever makes the answer is asked for it, and then sends what there is and what comes, and a sign of life where nothing
does. Who sends none for LOST_S, or whose connection to the store is closed, is lost.
"""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
from gevent.queue import Empty, SimpleQueue

from app.domain.events import Event
from app.domain.ports import Fleet
from app.engine.messages import Ending, Join, Leave, NotHere, Ping, Said, encode, error_of
from app.engine.patience import Patience
from app.engine.recording import from_bytes

BEAT_S = 0.5
"""Who makes an answer sends something so often."""

DOUBT_S = 0.75
"""After so much silence one looks whether the other is still connected: a killed process is not."""

LOST_S = 2.0

COSTS_S = 0.3
"""Who leaves waits so long to hear what the call cost: whoever was the last to listen has to tell."""


class Lost(Exception):
    """Nothing more is heard of the answer, or there was none: whoever wants it must make it."""


class Elsewhere(Protocol):
    """Knows who makes which answer; see exchange.py."""

    def look_for(self, key: bytes, longest_s: float, instead_of: str = "") -> "Following | None":
        """Return the answer with this key that another worker makes; None: it is this worker's to make.

        Whoever makes it does so for at most `longest_s`. `instead_of` is a worker that does not any more.
        """
        ...


class Following:
    """One answer of another worker. `take` gives it what comes for its `number`, until it is `over`."""

    def __init__(self, fleet: Fleet, key: bytes, leader: str, number: int, over: Callable[[], object]) -> None:
        self.leader = leader
        self.number = number
        self.request_id = ""
        self.ending: Ending | None = None
        self._fleet = fleet
        self._key = key
        self._over = over
        self._inbox: SimpleQueue[Said | NotHere] = SimpleQueue()
        self._is_joined = False

    def take(self, message: Said | NotHere) -> None:
        """Take a message of whoever makes the answer."""
        self._inbox.put(message)

    def events(self, patience: Patience) -> Iterator[Event]:
        """Yield the answer from its start; raises what ended it, or Lost."""
        self._is_joined = self._fleet.tell(self.leader, encode(Join(self._key, self._fleet.name, self.number)))
        if not self._is_joined:
            raise Lost
        at = 0
        while self.ending is None:
            said = self._next(patience)
            if said.at != at:
                raise Lost  # something went by unheard
            events = _events_of(said)
            at += len(events)
            self.request_id, self.ending = said.request_id, said.ending
            yield from events
        self._is_joined = False
        if self.ending.error is not None:
            if self.ending.error.name == "ServerStopping":
                raise Lost  # that server's trouble; this one may go on
            raise error_of(self.ending.error)

    def close(self) -> None:
        """Listen no more. Waits a moment for what the call cost, if it was not over."""
        try:
            if self._is_joined:
                self._leave()
        finally:
            self._over()

    def _leave(self) -> None:
        self._is_joined = False
        self._fleet.tell(self.leader, encode(Leave(self._fleet.name, self.number)))
        until = time.monotonic() + COSTS_S
        while self.ending is None and (left_s := until - time.monotonic()) > 0:
            try:
                message = self._inbox.get(timeout=left_s)
            except Empty:
                return
            if isinstance(message, Said):
                self.ending = message.ending

    def _next(self, patience: Patience) -> Said:
        heard_at_s = patience.now_s()  # which does not count what this process was too busy to hear
        while True:
            try:
                with patience:
                    message: Said | NotHere = self._inbox.get(timeout=DOUBT_S)
            except Empty:
                is_there = self._fleet.tell(self.leader, encode(Ping()))
                if is_there and patience.now_s() - heard_at_s < LOST_S:
                    continue
                self._is_joined = False
                raise Lost from None
            if isinstance(message, NotHere):
                self._is_joined = False
                raise Lost
            return message


def _events_of(said: Said) -> list[Event]:
    try:
        return from_bytes(said.events)
    except (msgspec.MsgspecError, ValueError):
        raise Lost from None

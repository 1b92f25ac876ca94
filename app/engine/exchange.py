"""What the workers of one store have in common: answers that are under way, and targets that fail.

An answer is made by one worker, and shared with a copy of the turn that reaches another one. Before its upstream call
a turn that may be shared asks the store who makes its answer: one round trip, and the only one where nobody else asks
the same: 0.11 ms of CPU. The store holds no more than that worker's name; nothing is published unless somebody wants to
hear it. A turn that names no conversation, or a server without a store, pays nothing.
"""

import contextlib
from collections.abc import Callable
from itertools import count

import gevent
import msgspec

from app.domain.ports import Fleet
from app.engine import messages
from app.engine.breaker import Breaker
from app.engine.following import Following
from app.engine.inflight import KEPT_S, Shared
from app.engine.messages import Hello, Join, Leave, Message, NotHere, Said, encode
from app.engine.remote import RemoteCaller

KEY_HEX = 40
"""So many digits of a key tell answers apart in the store."""


class Exchange:
    """The place of one worker among the others."""

    def __init__(self, fleet: Fleet, find: Callable[[bytes], Shared | None], breaker: Breaker) -> None:
        """Take the fleet, and what finds the answers that are made here and may be shared."""
        self._fleet = fleet
        self._find = find
        self._breaker = breaker
        self._numbers = count(1)
        self._followed: dict[int, Following] = {}
        self._callers: dict[tuple[str, int], RemoteCaller] = {}

    def open(self) -> None:
        """Begin to listen, in the process that is to hear; again is fine."""
        self._fleet.listen(self._take, self._begun)

    def look_for(self, key: bytes, longest_s: float, instead_of: str = "") -> Following | None:
        """See following.Elsewhere."""
        self.open()
        if not self._fleet.is_listening:
            return None
        leader = self._fleet.claim(f"answer:{key.hex()[:KEY_HEX]}", longest_s + KEPT_S, instead_of)
        if leader == self._fleet.name:
            return None
        number = next(self._numbers)
        following = Following(self._fleet, key, leader, number, lambda: self._followed.pop(number, None))
        self._followed[number] = following
        return following

    def _begun(self) -> None:
        self._fleet.tell_all(encode(Hello(self._fleet.name)))

    def _take(self, data: bytes) -> None:
        """Do what a message wants; must not block."""
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            self._heed(messages.decode(data))

    def _heed(self, message: Message) -> None:
        match message:
            case Said() | NotHere():
                if following := self._followed.get(message.number):
                    following.take(message)
            case Join():
                self._join(message)
            case Leave():
                if caller := self._callers.get((message.worker, message.number)):
                    caller.leave()
            case Hello() if message.worker != self._fleet.name:
                gevent.spawn(self._tell_known, message.worker)
            case _:
                self._breaker.hear(message)

    def _tell_known(self, worker: str) -> None:
        for known in self._breaker.known():
            self._fleet.tell(worker, encode(known))

    def _join(self, message: Join) -> None:
        place = (message.worker, message.number)
        shared = self._find(message.key)
        if shared is None or shared.answer.is_followed:
            gevent.spawn(self._fleet.tell, message.worker, encode(NotHere(message.number)))
        else:
            self._callers[place] = RemoteCaller(shared, self._fleet, *place, lambda: self._callers.pop(place, None))

"""One answer for several callers: a platform that asks again before it was answered shares the call that is under way.

ElevenLabs retries without always cancelling: up to 8 copies of one turn at once were seen. Whoever has heard all that
there is advances the answer for all, in their own greenlet; so an answer with one caller costs no greenlet and no
queue. A retry that reaches another worker is one of its callers too, where the workers have a store (exchange.py).
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from weakref import ref

import msgspec
from gevent.event import Event as Signal

from app.domain.errors import CallerGone
from app.domain.events import Event, Filler, Pause, is_speakable
from app.domain.ports import Caller
from app.domain.request import TurnRequest
from app.engine.answer import Answer

KEPT_S = 5.0
"""A complete answer is given to a retry that comes so much later."""

MOST_KEPT = 1024


class Shared:
    """An answer, all of its events so far, and who listens to it."""

    def __init__(self, answer: Answer, ended: "Callable[[Shared], None]") -> None:
        """Take the answer, and whom to tell when it is over."""
        self.answer = answer
        self._ended = ended
        self.over_at: float | None = None
        self._heard: list[Event] = []
        self._error: BaseException | None = None
        self._listeners: set[Caller] = set()
        self._driver: Caller | None = None
        self._waiting: list[Signal] = []
        self._is_ending = False

    @property
    def is_usable(self) -> bool:
        """Whether one more may join: no answer that failed, that was left, or that is too old."""
        if self.over_at is None:
            return bool(self._listeners) and not self._is_ending
        is_good = self._error is None and self.answer.failure is None
        return is_good and time.monotonic() - self.over_at < KEPT_S

    def join(self, caller: Caller) -> None:
        """Let one more listen."""
        self._listeners.add(caller)
        shared = ref(self)
        caller.detained = lambda: (here := shared()) is not None and here._needs(caller)

    def events(self, caller: Caller) -> Iterator[Event]:
        """Yield the answer from its start; raises what ended it. No silence is filled once there are words."""
        past = len(self._heard) if any(map(is_speakable, self._heard)) else 0
        at = 0
        while True:
            while at < len(self._heard):
                event = self._heard[at]
                at += 1
                if at > past or not isinstance(event, Filler | Pause):
                    yield event
            if self._error is not None:
                raise self._error
            if self.over_at is not None:
                return
            if self._driver is None:
                self._advance(caller)
            else:
                signal = Signal()
                self._waiting.append(signal)
                signal.wait()

    def leave(self, caller: Caller) -> bool:
        """Take one out; whether it was the last, with whom the answer is over."""
        self._listeners.discard(caller)
        if not self._listeners:
            try:
                self.answer.close()
            finally:
                if self.over_at is None:
                    self._end(CallerGone())
            return True
        if self._driver is None:
            self._wake()  # somebody else must advance it
        elif self._listeners == {self._driver}:
            self._driver.release()  # who may have gone long ago
        return False

    def _needs(self, caller: Caller) -> bool:
        """Whether this caller, who has gone, works for others too; if not, the answer ends with them."""
        is_needed = self._driver is caller and len(self._listeners) > 1
        self._is_ending = self._driver is caller and not is_needed
        return is_needed

    def _advance(self, caller: Caller) -> None:
        self._driver = caller
        try:
            self._heard.append(next(self.answer.events))
        except StopIteration:
            self._end()
        except Exception as error:
            self._end(error)
        except BaseException as gone:
            self._end(gone)
            raise
        finally:
            self._driver = None
            self._wake()
        caller.release()

    def _end(self, error: BaseException | None = None) -> None:
        self.over_at = time.monotonic()
        self._error = error
        self._ended(self)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for signal in waiting:
            signal.set()


class InFlight:
    """The answers that may be shared, by who asked and what."""

    def __init__(self, begin: Callable[[TurnRequest, bytes], Answer]) -> None:
        """Take what begins the answer to a request, with the key by which others know it."""
        self._begin = begin
        self._answers: dict[bytes, Shared] = {}
        self._over: deque[tuple[bytes, Shared]] = deque()

    def join(self, request: TurnRequest, caller: Caller) -> Shared:
        """Return the answer to this very request of the same conversation and key, or begin it."""
        self._forget()
        key = key_of(request)
        shared = self._answers.get(key)
        if shared is None or not shared.is_usable:
            shared = self._answers[key] = Shared(self._begin(request, key), lambda over: self._over.append((key, over)))
        shared.join(caller)
        return shared

    def find(self, key: bytes) -> Shared | None:
        """Return the answer with this key, if one more may join it."""
        shared = self._answers.get(key)
        return shared if shared is not None and shared.is_usable else None

    def _forget(self) -> None:
        """Forget the answers that are over and of no more use, and the oldest of too many."""
        while self._over and (len(self._over) > MOST_KEPT or not self._over[0][1].is_usable):
            key, shared = self._over.popleft()
            if self._answers.get(key) is shared:
                del self._answers[key]


def key_of(request: TurnRequest) -> bytes:
    """Return what tells requests apart: everything about them but their id and their place in a trace."""
    plain = msgspec.structs.replace(request, request_id="", traceparent=None)
    return hashlib.blake2b(msgspec.json.encode(plain)).digest()

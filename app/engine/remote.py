"""A caller who listens at another worker: to the answer that is made here, a caller as any other.

What they hear is sent in batches: whatever has come while the last one was on its way.
"""

import time
from collections.abc import Callable

import gevent
from gevent.event import Event as Signal

from app.domain.errors import CallerGone
from app.domain.events import Event
from app.domain.ports import Fleet
from app.engine.following import BEAT_S
from app.engine.inflight import Shared
from app.engine.messages import Ending, Said, encode, failure_of
from app.engine.recording import to_bytes


class RemoteCaller:
    """A domain.ports.Caller; they have gone when their worker says so, or is not there any more."""

    def __init__(self, shared: Shared, fleet: Fleet, worker: str, number: int, over: Callable[[], object]) -> None:
        """Listen from now on, as this number of that worker; `over` is called at the end."""
        self.came_at = time.monotonic()
        self.gone_at: float | None = None
        self.detained: Callable[[], bool] = lambda: False
        self._shared = shared
        self._fleet = fleet
        self._worker = worker
        self._number = number
        self._over = over
        self._is_gone = False
        self._batch: list[Event] = []
        self._ending: Ending | None = None
        self._news = Signal()
        self._news.set()  # what there is to send at first is a sign of life
        shared.join(self)
        self._listener = gevent.spawn(self._listen)
        gevent.spawn(self._send)

    def leave(self) -> None:
        """They have gone."""
        self._is_gone = True
        gevent.get_hub().loop.run_callback(self._raise)

    def release(self) -> None:
        """Raise CallerGone now, if they have gone; see domain.ports.Caller."""
        if self._is_gone:
            if gevent.getcurrent() is self._listener:
                raise CallerGone
            gevent.get_hub().loop.run_callback(self._raise)

    def hang_up(self) -> None:
        """There is no connection of ours; see domain.ports.Caller."""

    def _raise(self) -> None:
        if not self._listener.dead and not self.detained():
            self._listener.throw(CallerGone())

    def _listen(self) -> None:
        error: BaseException | None = None
        try:
            for event in self._shared.events(self):
                self._batch.append(event)
                self._news.set()
        except CallerGone:
            pass
        except Exception as failure:
            error = failure
        finally:
            is_last = self._shared.leave(self)
            self._ending = _ending_of(self._shared, error, is_last=is_last)
            self._news.set()

    def _send(self) -> None:
        at = 0
        ending: Ending | None = None
        while ending is None:
            self._news.wait(BEAT_S)
            self._news.clear()
            batch, self._batch, ending = self._batch, [], self._ending
            said = Said(self._number, self._shared.answer.request.request_id, at, to_bytes(batch), ending)
            at += len(batch)
            if not self._fleet.tell(self._worker, encode(said)):
                self.leave()
                break
        self._over()


def _ending_of(shared: Shared, error: BaseException | None, *, is_last: bool) -> Ending:
    answer = shared.answer
    return Ending(
        answer.target,
        answer.past,
        answer.resumes,
        is_last and answer.claim_costs(),
        failure_of(error),
        failure_of(answer.failure),
    )

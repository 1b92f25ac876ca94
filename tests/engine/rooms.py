"""What the engine's tests share: a desk among scripted providers, one race, and a caller who can hang up."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import gevent
from scripted import Listener, ScriptedProvider

from app.domain.config import Budget, Route, Target
from app.domain.errors import CallerGone
from app.domain.events import Event, Filler, Finish, Pause, Start, Text, ToolCall, Usage
from app.domain.ports import Cache, Caller, Fleet
from app.domain.request import TurnRequest
from app.domain.turn import Attempt, TurnRecord
from app.engine.attempt import LiveAttempt
from app.engine.breaker import Breaker
from app.engine.patience import Patience
from app.engine.race import Race
from app.engine.routing import Router
from app.engine.turn import Desk, Turn

HI, STOP, USAGE = Text("Hi"), Finish("stop"), Usage(prompt_tokens=3, completion_tokens=1)
ANSWER: list[Event] = [Start("id"), HI, STOP, USAGE]
CALL = ToolCall(0, "call_1", "end_call", "{}")
REQUEST = TurnRequest(
    model="m", messages=[{"role": "user", "content": "what was asked"}], stream=True, reasoning_content=True
)

Told = list[tuple[str, str, str | None]]


def settle() -> None:
    """Let every greenlet run that can."""
    for _ in range(3):
        gevent.idle()


def told(attempts: list[Attempt]) -> Told:
    """Return where each attempt went, how it ended and with which error."""
    return [(attempt.target.partition("/")[0], attempt.outcome, attempt.error) for attempt in attempts]


def spoken(events: list[Event]) -> str:
    """Return the words of the answer."""
    return "".join(event.text for event in events if isinstance(event, Text))


class Room:
    """A desk with one route `m` over these providers, in their order, and one observer; `cache_ttl_s` is a route's."""

    def __init__(
        self,
        *providers: ScriptedProvider,
        default: str | None = None,
        cache: Cache | None = None,
        cache_ttl_s: float = 0.0,
        cache_any_temperature: bool = False,
        fleet: Fleet | None = None,
        **budget: Any,
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self.observer = Listener()
        route = Route(
            [Target(name, "model") for name in self.providers],
            {"seed": 1},
            reasoning_content=True,
            cache_ttl_s=cache_ttl_s,
            cache_any_temperature=cache_any_temperature,
            budget=Budget(**budget),
        )
        router = Router({"m": route}, self.providers.keys(), set(), default)
        self.desk = Desk(router, self.providers, [self.observer], cache=cache, fleet=fleet)

    def take(self, caller: Caller | None = None, /, **request: Any) -> Turn:
        """Bring a request to its commit."""
        base: dict[str, Any] = {"model": "m", "messages": REQUEST.messages, "stream": True, "request_id": "req_1"}
        return self.desk.take(TurnRequest(**(base | request)), caller)

    def hear(self, caller: Caller | None = None, /, **request: Any) -> list[Event]:
        """Take a turn and hear it to its end, whatever that is."""
        turn = self.take(caller, **request)
        error: BaseException | None = None
        try:
            return list(turn.events())
        except BaseException as failure:
            error = failure
            raise
        finally:
            turn.close(error)

    @property
    def record(self) -> TurnRecord:
        """The record of the one turn that there was."""
        return self.observer.record

    @property
    def told(self) -> Told:
        """How the attempts of the one turn went."""
        return told(self.record.attempts)


class Racing:
    """One race over these providers, run in the greenlet of the test."""

    def __init__(
        self,
        *providers: ScriptedProvider,
        request: TurnRequest = REQUEST,
        breaker: Breaker | None = None,
        **budget: Any,
    ) -> None:
        settings = Budget(**budget)
        targets = [Target(provider.name, "model") for provider in providers]
        self.past: list[Attempt] = []
        self.patience = Patience(settings.idle_s, time.monotonic() + settings.total_s)
        self.race = Race(
            targets,
            settings,
            {provider.name: provider for provider in providers},
            breaker or Breaker(),
            self.patience,
            self.past,
            began_at=time.monotonic(),
            is_streamed=request.stream,
            filler=itertools.cycle(settings.filler).__next__,
        )
        self.run = self.race.run(request)
        self.meanwhile: list[Filler | Pause] = []
        self.winner: LiveAttempt | None = None

    def to_its_end(self) -> LiveAttempt:
        """Run until one speaks, and return it; raises what the race raises."""
        try:
            while True:
                self.meanwhile.append(next(self.run))
        except StopIteration as over:
            winner: LiveAttempt = over.value
            self.winner = winner
            return winner
        finally:
            self.patience.close()

    @property
    def told(self) -> Told:
        """How the attempts that are over went."""
        return told(self.past)


class Person:
    """A caller in a greenlet of their own, who can hang up at any moment; see app/api/caller.py."""

    def __init__(self, work: Callable[["Person"], object]) -> None:
        self.detained: Callable[[], bool] = lambda: False
        self.came_at = time.monotonic()
        self.gone_at: float | None = None
        self.is_gone = False
        self.heard: list[Event] = []
        self.error: BaseException | None = None
        self._greenlet = gevent.spawn(self._live, work)

    def hang_up(self) -> None:
        """Close the connection, and let everybody take note."""
        self.is_gone = True
        gevent.get_hub().loop.run_callback(self._raise)
        settle()

    def release(self) -> None:
        """Raise CallerGone if they have gone: here, or where their own greenlet waits."""
        if self.is_gone:
            if gevent.getcurrent() is self._greenlet:
                self.gone_at = time.monotonic()
                raise CallerGone
            gevent.get_hub().loop.run_callback(self._raise)

    def wait(self) -> "Person":
        """Wait until they have heard all, or have gone."""
        self._greenlet.join(5)
        assert self._greenlet.dead
        return self

    def _raise(self) -> None:
        if not self._greenlet.dead and not self.detained():
            self.gone_at = time.monotonic()
            self._greenlet.throw(CallerGone())

    def _live(self, work: Callable[["Person"], object]) -> None:
        try:
            work(self)
        except BaseException as error:
            self.error = error


def listening(room: Room, **request: Any) -> Person:
    """Let a caller ask, hear all that there is, and close."""

    def work(person: Person) -> None:
        turn = room.take(person, **request)
        error: BaseException | None = None
        try:
            for event in turn.events():
                person.heard.append(event)
        except BaseException as failure:
            error = failure
            raise
        finally:
            turn.close(error)

    return Person(work)

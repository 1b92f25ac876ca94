"""Patience: how long a turn waits, by a clock that only this test lets tick."""

import time
from collections.abc import Iterator

import gevent
import pytest
from engine.rooms import CALL, HI, settle
from gevent.event import Event as Signal
from gevent.queue import SimpleQueue

from app.domain import errors
from app.domain.events import Event, Finish, Pause, Reasoning, Refusal, Start, Text, Usage
from app.engine import patience as module
from app.engine.patience import LAST_TICKS, TICK_S, Patience

FAR = time.monotonic() + 10_000
IDLE_TICKS = 3


class NoClock:
    """A clock that does not tick by itself."""

    def add(self, turn: Patience) -> None:
        """Take in a turn."""

    def discard(self, turn: Patience) -> None:
        """Let a turn go."""


class Reader:
    """A turn that reads events which the test sends, in a greenlet of its own; by a clock that the test drives."""

    def __init__(self, *, idle_ticks: int = IDLE_TICKS, until: float = FAR) -> None:
        self.patience = Patience(idle_ticks * TICK_S, until)
        self.heard: list[Event] = []
        self.sent: SimpleQueue[Event | None] = SimpleQueue()
        self.greenlet = gevent.spawn(self._read)
        settle()

    def send(self, event: Event | None) -> None:
        """Send an event, None for the end."""
        self.sent.put(event)
        settle()

    def tick(self, times: int = 1, now: float = 0.0) -> None:
        """Let the clock tick."""
        for _ in range(times):
            gevent.get_hub().loop.run_callback(self.patience.tick, now)
            settle()

    @property
    def error(self) -> BaseException | None:
        """What ended it."""
        return self.greenlet.exception

    def _read(self) -> None:
        for event in self.patience.over(self._events()):
            self.heard.append(event)

    def _events(self) -> Iterator[Event]:
        while (event := self.sent.get()) is not None:
            yield event


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the real clock away."""
    monkeypatch.setattr(module, "_clock", NoClock)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep gevent from printing the errors that end greenlets here."""
    monkeypatch.setattr(gevent.get_hub(), "NOT_ERROR", (Exception,))


def test_silence_ends_the_wait() -> None:
    """After idle_s without a word the waiting ends with ProviderTimeout, not before and at the next tick at latest."""
    reader = Reader()
    reader.tick(IDLE_TICKS)
    assert reader.error is None
    reader.tick()
    assert isinstance(reader.error, errors.ProviderTimeout)


@pytest.mark.parametrize("event", [HI, CALL, Refusal("No.")])
def test_words_begin_the_time_anew(event: Event) -> None:
    """Whatever the caller can hear, or that acts, ends the silence."""
    reader = Reader()
    for _ in range(4):
        reader.tick(IDLE_TICKS)
        reader.send(event)
    assert (reader.error, reader.heard) == (None, [event] * 4)
    reader.tick(IDLE_TICKS + 1)
    assert isinstance(reader.error, errors.ProviderTimeout)


@pytest.mark.parametrize(
    "event", [Reasoning("hm"), Pause(), Usage(), Text(""), Text(" \n"), Start("id"), Refusal(""), Finish("stop")]
)
def test_what_nobody_hears_is_silence(event: Event) -> None:
    """A model that thinks, pings or counts is as silent as one that does nothing."""
    reader = Reader()
    for _ in range(IDLE_TICKS):
        reader.tick()
        reader.send(event)
    assert reader.error is None
    reader.tick()
    assert isinstance(reader.error, errors.ProviderTimeout)
    assert reader.heard == [event] * IDLE_TICKS


def test_a_caller_who_is_slow_to_read_is_not_the_provider_s_fault() -> None:
    """Only the waiting for the provider counts."""
    patience = Patience(TICK_S, FAR)
    events = patience.over(iter([HI, HI, Finish("stop")]))
    for _ in range(3):
        next(events)
        for _ in range(10):
            patience.tick(0.0)
    assert next(events, None) is None


def test_a_provider_cannot_keep_the_time_from_being_up() -> None:
    """A user's function that catches every Exception hears of it neither as one, nor in vain."""
    reader = Reader()
    kept: list[Exception] = []

    def answer() -> Iterator[Event]:
        try:
            Signal().wait()
        except Exception as error:
            kept.append(error)
        yield HI

    def read() -> None:
        list(reader.patience.over(answer()))

    waiting = gevent.spawn(read)
    settle()
    reader.tick(IDLE_TICKS + 1)
    assert isinstance(waiting.exception, errors.ProviderTimeout)
    assert kept == []
    reader.greenlet.kill()


def test_a_turn_knows_whether_it_has_time() -> None:
    """Silence in one answer leaves time for another; the end of all time, or of the server, does not."""
    patience = Patience(TICK_S, FAR)
    assert not patience.is_over
    reader = Reader()
    reader.tick(IDLE_TICKS + 1)
    assert not reader.patience.is_over
    patience.end(errors.ServerStopping())
    assert patience.is_over


def test_another_answer_has_its_own_silence() -> None:
    """A turn that was too silent once may wait again, for another attempt, as long as before."""
    reader = Reader()
    reader.tick(IDLE_TICKS + 1)
    again = Reader.__new__(Reader)
    again.patience, again.heard, again.sent = reader.patience, [], SimpleQueue()
    again.greenlet = gevent.spawn(again._read)
    settle()
    again.tick(IDLE_TICKS)
    assert again.error is None
    again.tick()
    assert isinstance(again.error, errors.ProviderTimeout)


@pytest.mark.parametrize(("idle_ticks", "ticks"), [(50, LAST_TICKS), (LAST_TICKS, LAST_TICKS), (2, 2)])
def test_what_follows_the_finish_is_not_waited_for_long(idle_ticks: int, ticks: int) -> None:
    """In a hurry the turn waits for its usage for a short while, and never longer than it would have otherwise."""
    reader = Reader(idle_ticks=idle_ticks)
    reader.send(HI)
    reader.patience.hurry()
    reader.tick(ticks)
    assert reader.error is None
    reader.tick()
    assert isinstance(reader.error, errors.ProviderTimeout)


def test_all_must_end() -> None:
    """When the turn's time is over it waits no longer, whether for the first word or in mid-answer."""
    reader = Reader(until=100.0)
    reader.send(HI)
    reader.tick(now=99.9)
    assert reader.error is None
    reader.tick(now=100.0)
    assert isinstance(reader.error, errors.ProviderTimeout)
    with pytest.raises(errors.ProviderTimeout):
        reader.patience.wait()  # nor does it begin again


def test_before_the_first_word_there_is_no_idle_time() -> None:
    """How long a target may be silent before it speaks is another matter."""
    patience = Patience(TICK_S, FAR)

    def wait() -> None:
        with patience:
            gevent.sleep(0.02)

    waiting = gevent.spawn(wait)
    settle()
    for _ in range(50):
        gevent.get_hub().loop.run_callback(patience.tick, 0.0)
    waiting.join()
    assert waiting.exception is None


def test_an_error_from_outside_ends_the_wait() -> None:
    """`end` raises its error where the turn waits."""
    reader = Reader()
    reader.send(HI)
    stopping = errors.ServerStopping()
    reader.patience.end(stopping)
    settle()
    assert reader.error is stopping
    assert reader.heard == [HI]


def test_an_error_from_outside_at_the_next_wait() -> None:
    """A turn that does not wait just now hears of it when it does, after all that it has."""
    patience = Patience(TICK_S, FAR)
    events = patience.over(iter([HI, HI]))
    assert next(events) == HI
    patience.end(errors.ServerStopping())
    settle()
    with pytest.raises(errors.ServerStopping):
        next(events)


def test_the_first_error_counts() -> None:
    """A turn ends once."""
    reader = Reader()
    first = errors.ServerStopping()
    reader.patience.end(first)
    reader.patience.end(errors.InternalError())
    settle()
    assert reader.error is first


def test_a_turn_that_is_over_hears_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the clock nor an error from outside reaches a turn that was closed, even where it was waiting."""
    faults: list[object] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *fault: faults.append(fault))
    patience = Patience(TICK_S, 0.0)
    patience.wait()
    patience.close()
    patience.end(errors.ServerStopping())
    gevent.get_hub().loop.run_callback(patience.tick, 1.0)
    settle()
    assert faults == []


def test_the_provider_waits_in_the_greenlet_of_whoever_advances() -> None:
    """An answer that others advance is ended where they wait."""
    reader = Reader()
    other = SimpleQueue[Event]()
    events = reader.patience.over(iter(other.get, None))
    waiting = gevent.spawn(next, events)
    settle()
    reader.patience.end(errors.ServerStopping())
    settle()
    assert isinstance(waiting.exception, errors.ServerStopping)
    assert reader.error is None
    reader.greenlet.kill()

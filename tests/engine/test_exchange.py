"""Sharing across workers: a copy of a turn that reaches another worker hears the answer that is under way."""

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from engine.fleets import Sea, Ship
from engine.rooms import ANSWER, CALL, HI, STOP, USAGE, Person, Room, listening, settle
from gevent.event import Event as Signal
from scripted import ScriptedProvider

from app.domain import errors
from app.domain.events import Event, Filler, Finish, Pause, Start, Text, Usage
from app.domain.turn import TurnRecord
from app.engine import following, inflight, messages, remote
from app.stores.memory_cache import MemoryCache

MORE = Text(" there")
WHOLE: list[Event] = [Start("id"), HI, MORE, STOP, USAGE]
CONVERSATION = {"conversation_id": "conv_1"}


class Worker:
    """A worker with a provider that says what there is before its gate, and then the rest."""

    def __init__(self, sea: Sea, name: str, *steps: Any, **options: Any) -> None:
        self.gate = Signal()
        self.ship: Ship = sea.ship(name)
        script = steps or (Start("id"), HI, self.gate.wait, MORE, STOP, USAGE)
        self.provider = ScriptedProvider(*(self.gate.wait if step is GATE else step for step in script))
        self.room = Room(self.provider, fleet=self.ship, **options)
        self.room.desk.open()
        self.people: list[Person] = []

    def listener(self, **request: Any) -> Person:
        """Let one more caller ask here, and come as far as they can."""
        number = f"req_{self.ship.name}_{len(self.people)}"
        person = listening(self.room, **(CONVERSATION | {"request_id": number} | request))
        self.people.append(person)
        settle()
        return person

    def open(self) -> None:
        """Let the provider say the rest."""
        self.gate.set()
        settle()

    def crash(self) -> None:
        """Be killed, and all who were connected here."""
        self.ship.sink()

    @property
    def records(self) -> list[TurnRecord]:
        """What was told of the turns here."""
        return self.room.observer.records


GATE = object()


@pytest.fixture
def sea() -> Sea:
    """Make a place without workers."""
    return Sea()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that is waited for between workers come ten times as soon."""
    for name in ("BEAT_S", "DOUBT_S", "LOST_S", "COSTS_S"):
        monkeypatch.setattr(following, name, getattr(following, name) / 10)
    monkeypatch.setattr(remote, "BEAT_S", remote.BEAT_S / 10)


@pytest.fixture
def two(sea: Sea) -> Iterator[tuple[Worker, Worker]]:
    """Make two workers."""
    return Worker(sea, "a"), Worker(sea, "b")


def test_copies_at_two_workers(two: tuple[Worker, Worker]) -> None:
    """They share one upstream call, and each copy hears the whole answer, from its start and as it comes."""
    first, second = two
    people = [first.listener(), second.listener(), second.listener()]
    assert [person.heard for person in people] == [[Start("id"), HI]] * 3
    first.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 3
    assert (first.provider.begun, second.provider.begun) == (1, 0)


def test_what_is_told_of_them(two: tuple[Worker, Worker]) -> None:
    """Each has its record; the cost stands in one of them, and the others name who began the call."""
    first, second = two
    people = [first.listener(), second.listener()]
    first.open()
    for person in people:
        person.wait()
    (own,), (copy,) = first.records, second.records
    assert (own.usage, own.shares, own.target) == (USAGE, None, "scripted/model")
    assert (copy.usage, copy.shares, copy.target) == (None, own.request_id, "scripted/model")
    assert [(each.outcome, each.usage) for each in copy.attempts] == [("answered", None)]
    assert (copy.end, copy.status, copy.text_chars) == ("completed", 200, len("Hi there"))


def test_who_is_alone_publishes_nothing(sea: Sea) -> None:
    """Where nobody asks the same, the store is asked once and nothing of the answer is sent."""
    worker = Worker(sea, "a", *ANSWER)
    sea.told.clear()
    worker.listener().wait()
    assert len(worker.ship.claimed) == 1
    assert sea.told == []


@pytest.mark.parametrize("conversation", [None, ""])
def test_who_names_no_conversation(sea: Sea, conversation: str | None) -> None:
    """They share with nobody, and the store is not even asked."""
    worker = Worker(sea, "a", *ANSWER)
    worker.listener(conversation_id=conversation).wait()
    assert worker.ship.claimed == []


def test_another_question_is_another_answer(two: tuple[Worker, Worker]) -> None:
    """Only copies share."""
    first, second = two
    people = [first.listener(), second.listener(messages=[{"role": "user", "content": "another"}])]
    first.open()
    second.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 2
    assert (first.provider.begun, second.provider.begun) == (1, 1)


def test_a_retry_after_the_end(two: tuple[Worker, Worker]) -> None:
    """An answer that was complete a moment ago is given to a copy at another worker; it costs nothing."""
    first, second = two
    person = first.listener()
    first.open()
    person.wait()
    assert second.listener().wait().heard == WHOLE
    assert (second.provider.begun, second.records[0].usage) == (0, None)


def test_a_retry_long_after_the_end(two: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is too old is not: the copy is answered anew, and the next one shares that."""
    first, second = two
    person = first.listener()
    first.open()
    person.wait()
    monkeypatch.setattr(inflight, "KEPT_S", 0.0)
    late = second.listener()
    assert second.provider.begun == 1
    again = first.listener()
    second.open()
    assert [person.wait().heard for person in (late, again)] == [WHOLE] * 2
    assert (first.provider.begun, second.provider.begun) == (1, 1)


def test_who_began_it_goes(two: tuple[Worker, Worker]) -> None:
    """The call goes on for a copy elsewhere, whose record then tells what it cost."""
    first, second = two
    one, other = first.listener(), second.listener()
    one.hang_up()
    assert first.provider.closed == 0
    first.open()
    assert isinstance(one.wait().error, errors.CallerGone)
    assert one.heard == [Start("id"), HI]
    assert other.wait().heard == WHOLE
    assert (first.records[0].usage, second.records[0].usage) == (None, USAGE)
    assert (second.records[0].attempts[0].usage, second.provider.begun) == (USAGE, 0)


def test_the_copy_goes(two: tuple[Worker, Worker]) -> None:
    """Whoever began the call hears on."""
    first, second = two
    one, other = first.listener(), second.listener()
    other.hang_up()
    assert isinstance(other.wait().error, errors.CallerGone)
    first.open()
    assert one.wait().heard == WHOLE
    assert first.records[0].usage == USAGE


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_the_last_one_goes(two: tuple[Worker, Worker], order: tuple[int, ...]) -> None:
    """When nobody listens at any worker the upstream call ends at once; what it cost is told once."""
    first, second = two
    people = [first.listener(), second.listener(), first.listener()]
    for place in order:
        assert first.provider.closed == 0
        people[place].hang_up()
    settle()
    assert first.provider.closed == 1
    assert all(isinstance(person.wait().error, errors.CallerGone) for person in people)
    records = first.records + second.records
    assert [record.end for record in records] == ["caller_gone"] * 3
    costs = [[attempt.usage for attempt in record.attempts if attempt.usage] for record in records]
    assert sorted(map(len, costs)) == [0, 0, 1]


@pytest.mark.usefixtures("quick")
def test_killed_before_a_word(sea: Sea) -> None:
    """Who waits for a worker that is gone makes the call, and one alone of several does."""
    first = Worker(sea, "a", GATE, *ANSWER)
    others = [Worker(sea, name) for name in ("b", "c")]
    first.listener()
    people = [worker.listener() for worker in others]
    first.crash()
    Signal().wait(following.DOUBT_S * 2)
    assert sum(worker.provider.begun for worker in others) == 1
    for worker in others:
        worker.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 2
    assert sum(worker.provider.begun for worker in others) == 1
    usages = [worker.records[0].usage for worker in others]
    assert sorted(usage is not None for usage in usages) == [False, True]


@pytest.mark.usefixtures("quick")
def test_killed_after_a_word(sea: Sea) -> None:
    """Who has heard the beginning asks a target for the rest, as of any answer that breaks off."""
    first = Worker(sea, "a")
    second = Worker(sea, "b", Start("other"), HI, Text(" there"), STOP, USAGE, filler_after_s=0.001)
    first.listener()
    person = second.listener()
    first.crash()
    assert "".join(event.text for event in person.wait().heard if isinstance(event, Text)) == "Hi there"
    assert not any(isinstance(event, Filler) for event in person.heard)
    assert person.heard[-2] == STOP
    asked, _ = second.provider.asked[0]
    assert [message["role"] for message in asked.messages] == ["user", "assistant", "user"]
    (record,) = second.records
    assert (record.resumes, record.usage, record.end) == (1, USAGE, "completed")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("resume", [True, False])
def test_killed_after_what_cannot_be_continued(sea: Sea, resume: bool) -> None:
    """Half a tool call, or an answer that may not be resumed, ends with an error."""
    said = (CALL,) if resume else (HI,)
    first = Worker(sea, "a", *said, GATE, resume=resume)
    second = Worker(sea, "b", resume=resume)
    first.listener()
    person = second.listener()
    first.crash()
    assert isinstance(person.wait().error, errors.ProviderBroken)
    assert second.provider.begun == 0
    assert second.records[0].end == "provider_error"


@pytest.mark.usefixtures("quick")
def test_killed_after_the_finish(sea: Sea) -> None:
    """Nothing is missing but the usage, which is estimated then."""
    first = Worker(sea, "a", HI, STOP, GATE, USAGE)
    second = Worker(sea, "b")
    first.listener()
    person = second.listener()
    first.crash()
    assert person.wait().heard[:2] == [HI, STOP]
    assert isinstance(person.heard[2], Usage)
    assert person.heard[2].estimated
    assert second.provider.begun == 0


@pytest.mark.usefixtures("quick")
def test_silent_as_if_it_were_cut_off(sea: Sea) -> None:
    """A worker that is there but sends no sign of life, as on a machine that has stopped, is given up."""
    first, second = Worker(sea, "a", GATE, *ANSWER), Worker(sea, "b", *ANSWER)
    first.listener()
    person = second.listener()
    second.ship.is_deaf = True
    assert person.wait().heard == ANSWER
    assert second.provider.begun == 1


@pytest.mark.usefixtures("quick")
def test_a_model_that_is_silent_for_long(sea: Sea) -> None:
    """As long as the other worker lives, its silence is the model's: nobody asks twice."""
    first, second = Worker(sea, "a", GATE, *ANSWER), Worker(sea, "b")
    one, other = first.listener(), second.listener()
    Signal().wait(following.LOST_S * 2)
    first.open()
    assert [person.wait().heard for person in (one, other)] == [ANSWER] * 2
    assert second.provider.begun == 0


@pytest.mark.usefixtures("quick")
def test_the_copies_worker_is_killed(sea: Sea) -> None:
    """A worker that is gone listens no more: when nobody else does, the call ends with the next sign of life."""
    first, second = Worker(sea, "a"), Worker(sea, "b")
    one = first.listener()
    second.listener()
    second.crash()
    one.hang_up()
    Signal().wait(remote.BEAT_S * 3)
    assert first.provider.closed == 1


@pytest.mark.usefixtures("quick")
def test_a_message_that_was_lost(two: tuple[Worker, Worker]) -> None:
    """An answer with a gap is not handed on: the rest is asked for."""
    first, second = two
    second.gate.set()
    first.listener()
    person = second.listener()
    second.ship.is_deaf = True
    first.open()  # which nobody hears
    second.ship.is_deaf = False
    person.wait()
    assert second.provider.begun == 1
    assert person.heard[:2] == [Start("id"), HI]
    assert "".join(event.text for event in person.heard if isinstance(event, Text)) == "Hi there"


def test_the_store_is_down(two: tuple[Worker, Worker]) -> None:
    """Who does not hear the others makes each call, as without a store."""
    first, second = two
    first.ship.is_listening = second.ship.is_listening = False
    people = [first.listener(), second.listener()]
    first.open()
    second.open()
    assert [person.wait().heard for person in people] == [WHOLE] * 2
    assert (first.ship.claimed, second.ship.claimed) == ([], [])


def test_a_server_that_stops(sea: Sea) -> None:
    """A copy at a server that goes on is answered, although the one that made the call has no more time."""
    first = Worker(sea, "a", GATE, *ANSWER)
    second = Worker(sea, "b", *ANSWER)
    one, other = first.listener(), second.listener()
    first.room.desk.end_open_turns()
    assert isinstance(one.wait().error, errors.ServerStopping)
    assert other.wait().heard == ANSWER
    assert second.provider.begun == 1


FAILURES = [
    errors.ProviderRateLimited(retry_after_s=7.5, upstream_status=429),
    errors.ProviderRequestRefused("no such thing", param="tools[0]", code="odd"),
    errors.ContextTooLong(),
    ValueError("odd"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failure_is_shared(sea: Sea, failure: Exception) -> None:
    """Copies of a turn that fails get its error, each with its status, from one call."""
    first = Worker(sea, "a", GATE, failure, retries=0)
    second = Worker(sea, "b")
    people = [first.listener(), second.listener()]
    first.open()
    one, other = (person.wait().error for person in people)
    assert isinstance(one, errors.GlottisError)
    assert type(one) is type(other)
    for field in ("message", "param", "code", "detail", "retry_after_s", "upstream_status"):
        assert getattr(one, field) == getattr(other, field)
    assert second.provider.begun == 0
    assert first.records[0].status == second.records[0].status


def test_an_apology_is_shared(sea: Sea) -> None:
    """Every copy hears it, and every record says what it stands for."""
    first = Worker(sea, "a", GATE, errors.ProviderKeyRefused(), apology="I am sorry.")
    second = Worker(sea, "b", apology="I am sorry.")
    people = [first.listener(), second.listener()]
    first.open()
    assert [person.wait().heard[0] for person in people] == [Text("I am sorry.")] * 2
    records = first.records + second.records
    assert [(record.apologised, record.end, record.error) for record in records] == [
        (True, "provider_error", records[0].error)
    ] * 2


def test_fillers_are_heard_elsewhere_too(sea: Sea) -> None:
    """What fills the silence for the first fills it for the copies that wait as well."""
    first = Worker(sea, "a", GATE, *ANSWER, filler_after_s=0.02)
    second = Worker(sea, "b", filler_after_s=0.02)
    people = [first.listener(), second.listener()]
    Signal().wait(0.1)
    first.open()
    for person in people:
        assert any(isinstance(event, Filler) for event in person.wait().heard)
    assert [record.fillers for record in first.records + second.records] == [1, 1]


def test_nobody_follows_who_follows(sea: Sea) -> None:
    """Who is asked for an answer that another worker makes says so, and the copy goes on looking."""
    first, second, third = (Worker(sea, name) for name in "abc")
    first.listener()
    second.listener()
    second.ship.hear(messages.encode(messages.Join(_key(second), "c", 7)))
    settle()
    assert messages.decode(sea.told[-1][1]) == messages.NotHere(7)
    person = third.listener()
    first.open()
    assert person.wait().heard == WHOLE


def _key(worker: Worker) -> bytes:
    (key,) = worker.room.desk._in_flight._answers
    return key


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\x93\x01\x02\x03", messages.encode(messages.Leave("x", 1))])
def test_odd_messages(sea: Sea, message: bytes) -> None:
    """What is no message, or comes too late, does no harm."""
    worker = Worker(sea, "a", *ANSWER)
    worker.ship.hear(message)
    settle()
    assert worker.listener().wait().heard == ANSWER


def test_nothing_is_left_behind(two: tuple[Worker, Worker]) -> None:
    """Who listened, and to whom, is forgotten when it is over."""
    first, second = two
    people = [first.listener(), second.listener(), second.listener()]
    people[1].hang_up()
    first.open()
    people[2].wait()
    settle()
    for worker in two:
        exchange = worker.room.desk._exchange
        assert exchange is not None
        assert (exchange._followed, exchange._callers) == ({}, {})


def test_what_another_worker_made_is_kept_by_that_one(sea: Sea) -> None:
    """On a route with a cache the copy says `miss`, and one value is written."""
    store = MemoryCache(10, 10_000)
    options: dict[str, Any] = {"cache": store, "cache_ttl_s": 60.0, "cache_any_temperature": True}
    first, second = Worker(sea, "a", HI, GATE, STOP, USAGE, **options), Worker(sea, "b", **options)
    people = [first.listener(), second.listener()]
    first.open()
    for person in people:
        assert person.wait().heard == [HI, STOP, USAGE]
    settle()
    assert [record.cache for record in first.records + second.records] == ["miss", "miss"]
    assert first.listener(request_id="x", conversation_id="conv_2").wait().heard == [HI, STOP, USAGE]
    assert first.records[-1].cache == "hit"


def test_a_flood_reaches_all(sea: Sea) -> None:
    """However much is said at once, a copy elsewhere hears all of it, in order."""
    words: list[Event] = [Text(f"{number} ") for number in range(5000)]
    first, second = Worker(sea, "a", HI, GATE, *words, Finish("stop"), USAGE), Worker(sea, "b")
    people = [first.listener(), second.listener()]
    first.open()
    gevent.sleep(0)
    for person in people:
        assert person.wait().heard == [HI, *words, STOP, USAGE]


def test_signs_of_life_of_the_connection(sea: Sea) -> None:
    """A Pause keeps the connections of copies elsewhere open too."""
    first, second = Worker(sea, "a", HI, GATE, STOP, USAGE, heartbeat_s=0.02), Worker(sea, "b", heartbeat_s=0.02)
    people = [first.listener(), second.listener()]
    Signal().wait(0.1)
    first.open()
    for person in people:
        assert Pause() in person.wait().heard

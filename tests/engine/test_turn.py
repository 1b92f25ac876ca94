"""A turn: however it ends, its upstream call ends with it, and it is accounted for exactly once."""

import pytest
from scripted import Listener, ScriptedProvider, Step

from app.domain import errors
from app.domain.config import Route, Target
from app.domain.events import Event, Events, Finish, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.engine.routing import Router
from app.engine.turn import Desk, Turn

HI, STOP, USAGE = Text("Hi"), Finish("stop"), Usage(prompt_tokens=3, completion_tokens=1)
ANSWER: list[Step] = [Start("id"), HI, STOP, USAGE]


class Room:
    """A desk with one route of two targets, and two observers."""

    def __init__(self, *first: Step, second: list[Step] | None = None) -> None:
        self.first = ScriptedProvider(*first, name="first")
        self.second = ScriptedProvider(*(second or [errors.ProviderUnreachable()]), name="second")
        self.observers = [Listener(), Listener()]
        route = Route([Target("first", "a"), Target("second", "b")], {"seed": 1})
        providers = {"first": self.first, "second": self.second}
        router = Router({"m": route}, providers.keys(), set(), None)
        self.desk = Desk(router, providers, self.observers)

    def take(self, *, model: str = "m", stream: bool = True) -> Turn:
        """Bring a request to its commit."""
        request = TurnRequest(
            model=model,
            messages=[{"role": "user", "content": "what was said"}],
            stream=stream,
            request_id="req_1",
            conversation_id="conv_1",
        )
        return self.desk.take(request)

    @property
    def told(self) -> tuple[str, int, list[tuple[str, str | None]]]:
        """How the one turn ended, its status, and its attempts with their errors; both observers heard the same."""
        one, other = (observer.record for observer in self.observers)
        assert one is other
        return one.end, one.status, [(attempt.target, attempt.error) for attempt in one.attempts]


def test_a_turn_that_completes() -> None:
    """The answer comes whole, and what is told of it is everything but what was said."""
    room = Room(*ANSWER)
    turn = room.take()
    assert list(turn.events()) == ANSWER
    assert room.observers[0].records == []
    turn.close()
    assert room.told == ("completed", 200, [("first/a", None)])
    record = room.observers[0].record
    assert (record.request_id, record.conversation_id, record.model, record.stream) == ("req_1", "conv_1", "m", True)
    assert (record.target, record.error, record.finish_reason, record.usage) == ("first/a", None, "stop", USAGE)
    assert (record.text_chars, record.tool_calls) == (2, 0)
    assert record.first_speakable_ms is not None
    assert 0 <= record.first_speakable_ms <= record.total_ms
    assert "what was said" not in repr(record)


def test_the_provider_gets_the_route_s_defaults_and_a_mended_history() -> None:
    """What goes upstream is the request with what the route and the repair add."""
    room = Room(*ANSWER)
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    room.desk.take(TurnRequest(model="m", messages=history)).close()  # type: ignore[arg-type]
    ((request, model),) = room.first.asked
    assert (model, request.params) == ("a", {"seed": 1})
    assert [message["role"] for message in request.messages] == ["assistant", "tool"]


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ([HI, Finish("length")], "length"),
        ([HI, Finish("content_filter")], "refused"),
        ([ToolCall(0, "c", "f", "{}"), Finish("tool_calls")], "completed"),
        ([STOP], "completed"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_how_a_complete_answer_ends(script: list[Step], end: str, stream: bool) -> None:
    """An answer's finish is the turn's end."""
    room = Room(*script)
    turn = room.take(stream=stream)
    assert list(turn.events())[:-1] == script
    turn.close()
    assert room.told == (end, 200, [("first/a", None)])
    spoke = room.observers[0].record.first_speakable_ms is not None
    assert spoke is (script != [STOP])


FAILURES: list[tuple[Exception, str, int]] = [
    (errors.ProviderUnreachable(detail="inside"), "provider_error", 502),
    (errors.ProviderTimeout(detail="inside"), "provider_timeout", 504),
    (errors.ProviderRateLimited(detail="inside"), "provider_error", 429),
    (errors.ProviderModelNotFound(detail="inside"), "invalid_request", 404),
    (errors.ContextTooLong(detail="inside"), "invalid_request", 400),
]


@pytest.mark.parametrize(("failure", "end", "status"), FAILURES, ids=lambda row: getattr(row, "name", None))
def test_failed_before_commit(failure: errors.GlottisError, end: str, status: int) -> None:
    """When every target fails, the caller gets the last error as a status, and the turn is told by its name."""
    room = Room(errors.ProviderOverloaded(), second=[failure])
    with pytest.raises(type(failure)):
        room.take()
    assert room.told == (end, status, [("first/a", "ProviderOverloaded"), ("second/b", failure.name)])
    record = room.observers[0].record
    assert (record.target, record.first_speakable_ms, record.usage) == (None, None, None)
    assert record.error == f"{failure.name}: inside"


def test_failed_without_a_target() -> None:
    """A model that nobody has is a turn too."""
    room = Room(*ANSWER)
    with pytest.raises(errors.ModelNotFound):
        room.take(model="other")
    assert room.told == ("invalid_request", 404, [])


@pytest.mark.parametrize(("stream", "status"), [(True, 200), (False, 504)])
def test_cut_after_commit(stream: bool, status: int) -> None:
    """A cut answer is a failure whatever was said before it; a stream's status is out by then."""
    room = Room(HI, errors.ProviderTimeout())
    turn = room.take(stream=stream)
    heard: list[Event] = []
    with pytest.raises(errors.ProviderTimeout):
        heard.extend(turn.events())
    turn.close()
    assert room.told == ("provider_timeout", status, [("first/a", "ProviderTimeout")])
    assert room.observers[0].record.text_chars == 2
    assert room.second.asked == []


def test_the_next_target_completes() -> None:
    """A turn that a fallback saved is complete, and the log says what it went through."""
    room = Room(errors.ProviderKeyRefused(), second=ANSWER)
    turn = room.take()
    assert list(turn.events()) == ANSWER
    turn.close()
    assert room.told == ("completed", 200, [("first/a", "ProviderKeyRefused"), ("second/b", None)])
    assert room.observers[0].record.target == "second/b"


@pytest.mark.parametrize(("stream", "status"), [(True, 200), (False, 499)])
@pytest.mark.parametrize("error", [None, errors.CallerGone(), GeneratorExit()], ids=["unread", "gone", "closed"])
def test_closed_early(stream: bool, status: int, error: BaseException | None) -> None:
    """A caller who goes after commit ends the upstream call; that is a normal end."""
    room = Room(*ANSWER)
    turn = room.take(stream=stream)
    turn.close(error)
    assert room.told == ("caller_gone", status, [("first/a", None)])
    assert room.first.closed == 1


def test_closed_in_mid_sentence() -> None:
    """A caller who goes while the answer comes is told as such, with what was heard until then."""
    room = Room(HI, Text(" there"), *ANSWER)
    turn = room.take()
    events = turn.events()
    assert [next(events), next(events)] == [HI, Text(" there")]
    turn.close(errors.CallerGone())
    assert room.told[0] == "caller_gone"
    assert room.observers[0].record.text_chars == 8
    assert room.first.closed == 1


def test_a_caller_who_goes_after_the_finish_missed_nothing() -> None:
    """Once the finish is out the turn is complete, though nobody waits for the usage."""
    room = Room(*ANSWER)
    turn = room.take()
    events = turn.events()
    while next(events) != STOP:
        pass
    turn.close(errors.CallerGone())
    assert room.told == ("completed", 200, [("first/a", None)])


@pytest.mark.parametrize("stream", [True, False])
def test_the_caller_goes_before_the_first_word(stream: bool) -> None:
    """Nobody waits: the attempt ends, no other target is asked, and no failure is told."""
    room = Room(Start("id"), errors.CallerGone(), second=ANSWER)
    with pytest.raises(errors.CallerGone):
        room.take(stream=stream)
    assert room.told == ("caller_gone", 499, [("first/a", None)])
    assert room.observers[0].record.error is None
    assert (room.first.closed, room.second.begun) == (1, 0)


FAULTS: list[tuple[BaseException, type[BaseException]]] = [
    (ValueError("what was said"), errors.InternalError),
    (KeyboardInterrupt("what was said"), KeyboardInterrupt),
]


@pytest.mark.parametrize(("fault", "raised"), FAULTS)
def test_a_fault_of_ours(fault: BaseException, raised: type[BaseException]) -> None:
    """What nobody foresaw is told by its class and place, before commit and after it, and it is no success."""
    room = Room(fault, second=ANSWER)
    with pytest.raises(raised):
        room.take()
    assert room.told[:2] == ("internal", 500)
    assert f"InternalError: {type(fault).__name__}" in (room.observers[0].record.error or "")

    room = Room(HI, fault)
    turn = room.take(stream=False)
    with pytest.raises(raised):
        list(turn.events())
    turn.close(fault)
    assert room.told[:2] == ("internal", 500)
    assert "what was said" not in repr(room.observers[0].record)


def test_closing_again_tells_nothing_more() -> None:
    """Every path closes, and only the first time counts."""
    room = Room(*ANSWER)
    turn = room.take()
    list(turn.events())
    turn.close()
    turn.close(errors.CallerGone())
    turn.close(errors.ProviderBroken())
    assert room.told == ("completed", 200, [("first/a", None)])
    assert room.first.closed == 1


def test_a_failed_turn_is_closed_already() -> None:
    """What raised at the desk needs no closing."""
    room = Room(errors.ProviderRequestRefused())
    with pytest.raises(errors.ProviderRequestRefused):
        room.take()
    assert len(room.observers[0].records) == 1


class Clinging(ScriptedProvider):
    """A provider whose answer fails when it is closed, as a user's own generator may."""

    def _answer(self) -> Events:
        try:
            yield from super()._answer()
        finally:
            raise RuntimeError("cannot let go")


def test_a_provider_that_fails_to_close() -> None:
    """The turn is told all the same."""
    room = Room()
    room.desk.providers = {"first": Clinging(*ANSWER)}
    turn = room.take()
    next(turn.events())
    with pytest.raises(RuntimeError):
        turn.close()
    assert room.told == ("caller_gone", 200, [("first/a", None)])

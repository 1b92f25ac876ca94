"""Apology: what is said when nobody answered, so that a call does not end in silence."""

import gevent
import pytest
from engine.rooms import ANSWER, HI, REQUEST, STOP, Room, settle, spoken
from gevent.event import Event
from scripted import ScriptedProvider

from app.domain import errors
from app.domain.events import Filler, Finish, Text, Usage
from app.domain.request import Message

SORRY = "Sorry, please say that again."
APOLOGISED = [Text(SORRY), Finish("stop"), Usage(estimated=True)]


@pytest.mark.parametrize("stream", [True, False])
def test_when_every_target_has_failed(stream: bool) -> None:
    """The caller hears the apology as a whole answer; the record has the failure as its end, and the attempts."""
    first = ScriptedProvider(errors.ProviderUnreachable(), name="first")
    second = ScriptedProvider(errors.ProviderOverloaded(detail="inside"), name="second")
    room = Room(first, second, apology=SORRY, retries=0)
    assert room.hear(stream=stream) == APOLOGISED
    record = room.record
    assert (record.apologised, record.end, record.status) == (True, "provider_error", 200)
    assert record.error == "ProviderOverloaded: inside"
    assert [outcome for _, outcome, _ in room.told] == ["failed", "failed"]
    assert (record.target, record.first_speakable_ms) == (None, None)


def test_an_answer_needs_no_apology() -> None:
    """As long as one target answers nobody is sorry."""
    first = ScriptedProvider(errors.ProviderKeyRefused(), name="first")
    room = Room(first, ScriptedProvider(*ANSWER, name="second"), apology=SORRY)
    assert room.hear() == ANSWER
    assert not room.record.apologised


def test_without_an_apology_the_failure_is_the_answer() -> None:
    """By default a turn that fails has an error's status."""
    room = Room(ScriptedProvider(errors.ProviderOverloaded()), retries=0)
    with pytest.raises(errors.ProviderOverloaded):
        room.hear()
    assert (room.record.apologised, room.record.status) == (False, 503)


TURN_DOWN: list[tuple[errors.GlottisError, bool]] = [
    (errors.ProviderRequestRefused(), False),
    (errors.ContentNotTaken(), False),
    (errors.ContextTooLong(), True),
    (errors.ProviderRequestTooLarge(), True),
    (errors.ProviderModelNotFound(), False),
    (errors.EmptyAnswer(), True),
    (errors.ProviderTimeout(), True),
]


@pytest.mark.parametrize(("failure", "is_sorry"), TURN_DOWN, ids=lambda value: type(value).__name__)
def test_a_request_at_fault_gets_its_status(failure: errors.GlottisError, is_sorry: bool) -> None:
    """What the caller can mend is told, not smoothed over; a conversation that grew too long is apologised for."""
    room = Room(ScriptedProvider(failure), apology=SORRY, retries=0)
    if is_sorry:
        assert room.hear() == APOLOGISED
    else:
        with pytest.raises(type(failure)):
            room.hear()
    assert room.record.apologised is is_sorry


FAULTS: list[tuple[BaseException, type[BaseException]]] = [
    (ValueError("odd"), errors.InternalError),
    (errors.ServerStopping(), errors.ServerStopping),
    (KeyboardInterrupt(), KeyboardInterrupt),
]


@pytest.mark.parametrize(("fault", "raised"), FAULTS)
def test_a_fault_of_ours_is_not_smoothed_over(fault: BaseException, raised: type[BaseException]) -> None:
    """Only a provider's failure is apologised for."""
    room = Room(ScriptedProvider(fault), apology=SORRY)
    with pytest.raises(raised):
        room.hear()
    assert not room.record.apologised


def test_a_model_that_nobody_has_is_not_apologised_for() -> None:
    """A wrong name in the agent's settings is for its owner to see."""
    room = Room(ScriptedProvider(*ANSWER), apology=SORRY)
    with pytest.raises(errors.ModelNotFound):
        room.hear(model="other")
    assert room.record.end == "invalid_request"


@pytest.mark.usefixtures("fine_ticks")
@pytest.mark.parametrize("budget", [{"total_s": 0.1}, {"first_token_s": 0.05}])
def test_a_silent_model_is_apologised_for(budget: dict[str, float]) -> None:
    """Silence is the failure that a caller notices most."""
    provider = ScriptedProvider(Event().wait)
    room = Room(provider, apology=SORRY, **({"first_token_s": 30} | budget))
    assert room.hear() == APOLOGISED
    settle()
    assert provider.closed == 1
    assert (room.record.end, room.record.apologised) == ("provider_timeout", True)


def test_an_apology_after_a_filler() -> None:
    """What filled the silence is followed by words that end it."""
    slow = ScriptedProvider(lambda: gevent.sleep(0.05), errors.ProviderUnreachable())
    room = Room(slow, apology=SORRY, filler_after_s=0.01, filler=("Hmm... ",), retries=0)
    assert room.hear() == [Filler("Hmm... "), *APOLOGISED]


def test_a_caller_who_goes_during_the_apology() -> None:
    """Going is the end then, and nothing fails."""
    room = Room(ScriptedProvider(errors.ProviderUnreachable()), apology=SORRY, retries=0)
    turn = room.take()
    assert next(turn.events()) == Text(SORRY)
    turn.close(errors.CallerGone())
    assert (room.record.end, room.record.status, room.record.apologised) == ("caller_gone", 200, True)


def test_a_refused_field_bears_the_caller_s_index() -> None:
    """What a provider says of the mended history is told in the numbers of the history that the caller sent."""
    stray: Message = {"role": "tool", "tool_call_id": "gone", "content": "result"}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asks: Message = {"role": "assistant", "content": None, "tool_calls": [call]}  # type: ignore[list-item]
    refused = errors.ProviderRequestRefused(param="messages[2].content")
    provider = ScriptedProvider(refused)
    with pytest.raises(errors.ProviderRequestRefused) as caught:
        Room(provider).hear(messages=[asks, *REQUEST.messages, stray])
    (sent, _) = provider.asked[0]
    assert sent.messages[2] == REQUEST.messages[0]
    assert caught.value.param == "messages[1].content"


def test_the_next_turn_is_not_sorry() -> None:
    """An apology is of one turn."""
    provider = ScriptedProvider(errors.ProviderKeyRefused(), then=[[HI, STOP]])
    room = Room(provider, apology=SORRY)
    assert [spoken(room.hear()) for _ in range(2)] == [SORRY, "Hi"]
    assert [record.apologised for record in room.observer.records] == [True, False]

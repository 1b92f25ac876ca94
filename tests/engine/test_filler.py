"""While nothing of the answer is there: words that fill the silence, and signs of life for the connection."""

import time

import gevent
import pytest
from engine.rooms import ANSWER, HI, STOP, Racing, Room
from gevent.event import Event
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.events import Filler, Pause, Usage

HMM, WELL, LET_ME_SEE = "Hmm... ", "Well... ", "Let me see... "


def speaks_after(silence_s: float, *steps: Step, name: str = "scripted") -> ScriptedProvider:
    """Make a provider that is silent for a while."""
    return ScriptedProvider(lambda: gevent.sleep(silence_s), *(steps or ANSWER), name=name)


def test_a_silence_is_filled_once() -> None:
    """After filler_after_s one phrase is said, and no second one, however long the silence lasts."""
    racing = Racing(speaks_after(0.15), filler_after_s=0.02, filler=(HMM,))
    racing.to_its_end()
    assert racing.meanwhile == [Filler(HMM)]


@pytest.mark.parametrize(("most", "said"), [(2, [HMM, WELL]), (3, [HMM, WELL, LET_ME_SEE]), (10, None)])
def test_more_than_one_where_asked_for(most: int, said: list[str] | None) -> None:
    """Up to filler_max phrases, each after as long a silence again, and in turn."""
    racing = Racing(
        speaks_after(0.22), filler_after_s=0.04, filler_max=most, filler=(HMM, WELL, LET_ME_SEE), first_token_s=9
    )
    racing.to_its_end()
    words = [filler.text for filler in racing.meanwhile if isinstance(filler, Filler)]
    assert len(words) == len(racing.meanwhile)
    if said is not None:
        assert words == said
    else:
        assert words[:4] == [HMM, WELL, LET_ME_SEE, HMM]
        assert len(words) <= 6


def test_no_filler_where_none_is_asked_for() -> None:
    """By default nothing is put into the model's mouth."""
    racing = Racing(speaks_after(0.05))
    racing.to_its_end()
    assert racing.meanwhile == []


@pytest.mark.parametrize("provider", [speaks_after(0.0), ScriptedProvider(*ANSWER)])
def test_no_filler_before_its_time(provider: ScriptedProvider) -> None:
    """Who answers in time is not announced."""
    racing = Racing(provider, filler_after_s=0.5)
    racing.to_its_end()
    assert racing.meanwhile == []


def test_an_answer_that_is_not_streamed_is_not_filled() -> None:
    """Who hears the answer in one piece hears no filler in it; a pause would reach nobody either."""
    room = Room(speaks_after(0.08), filler_after_s=0.01, headers_after_s=0.02, heartbeat_s=0.01)
    assert room.hear(stream=False) == ANSWER


def test_the_phrases_take_turns() -> None:
    """One turn after the other gets the next phrase, so that a caller does not hear the same one all the time."""
    room = Room(speaks_after(0.04), filler_after_s=0.01, filler=(HMM, WELL))
    heard = [room.hear()[0] for _ in range(4)]
    assert heard == [Filler(HMM), Filler(WELL), Filler(HMM), Filler(WELL)]


def test_a_turn_without_filler_takes_no_phrase() -> None:
    """A phrase that was not said is still the next one."""
    room = Room(ScriptedProvider(*ANSWER, then=[ANSWER, speaks_after(0.04).scripts[0]]), filler_after_s=0.02)
    room.hear()
    room.hear()
    assert isinstance(room.hear()[0], Filler)


def test_a_filler_goes_before_the_answer_and_is_none_of_it() -> None:
    """The answer follows whole; the record counts the filler, and none of its letters."""
    room = Room(speaks_after(0.05), filler_after_s=0.01, filler_max=2, filler=(HMM,))
    assert room.hear() == [Filler(HMM), Filler(HMM), *ANSWER]
    record = room.record
    assert (record.fillers, record.text_chars, record.end) == (2, 2, "completed")
    assert record.first_speakable_ms is not None
    assert record.first_speakable_ms >= 50


def test_a_filler_goes_on_through_failures() -> None:
    """The silence counts from the turn's start, whoever is asked meanwhile."""
    first = speaks_after(0.05, errors.ProviderUnreachable(), name="first")
    racing = Racing(first, speaks_after(0.05, name="second"), filler_after_s=0.08, filler=(HMM,), retries=0)
    assert racing.to_its_end().target.provider == "second"
    assert racing.meanwhile == [Filler(HMM)]


def test_a_failure_after_a_filler() -> None:
    """The turn fails as it would without one: its status is out, but it never ends well."""
    room = Room(speaks_after(0.05, errors.ProviderUnreachable()), filler_after_s=0.01, filler=(HMM,), retries=0)
    turn = room.take()
    events = turn.events()
    assert next(events) == Filler(HMM)
    with pytest.raises(errors.ProviderUnreachable):
        next(events)
    turn.close()
    assert (room.record.end, room.record.status, room.record.fillers) == ("provider_error", 200, 1)


def test_the_headers_go_out_in_time() -> None:
    """After headers_after_s a pause commits the turn, though no target has spoken."""
    gate = Event()
    room = Room(ScriptedProvider(gate.wait, HI, STOP), headers_after_s=0.05, first_token_s=9)
    began_at = time.monotonic()
    turn = room.take()
    assert 0.05 <= time.monotonic() - began_at < 0.5
    gate.set()
    *heard, usage = turn.events()
    assert heard == [Pause(), HI, STOP]
    assert isinstance(usage, Usage)
    turn.close()
    assert room.record.end == "completed"


def test_no_second_pause_without_a_heartbeat() -> None:
    """The headers go out once."""
    racing = Racing(speaks_after(0.15), headers_after_s=0.02)
    racing.to_its_end()
    assert racing.meanwhile == [Pause()]


def test_a_heartbeat_follows_the_headers() -> None:
    """With heartbeat_s there is a pause every so often, and none before the headers."""
    racing = Racing(speaks_after(0.3), headers_after_s=0.1, heartbeat_s=0.05)
    began_at = time.monotonic()
    assert next(racing.run) == Pause()
    assert time.monotonic() - began_at >= 0.1
    racing.to_its_end()
    assert set(racing.meanwhile) == {Pause()}
    assert 1 <= len(racing.meanwhile) <= 4


def test_a_filler_is_a_sign_of_life_too() -> None:
    """It sends the headers, and the heartbeat counts from it."""
    racing = Racing(speaks_after(0.12), filler_after_s=0.02, filler=(HMM,), headers_after_s=0.05)
    racing.to_its_end()
    assert racing.meanwhile == [Filler(HMM)]


def test_a_heartbeat_goes_on_in_the_answer() -> None:
    """A streamed answer that pauses has signs of life in it; what is said is the same."""
    gate = Event()
    room = Room(ScriptedProvider(HI, gate.wait, STOP), heartbeat_s=0.03)
    turn = room.take()
    events = turn.events()
    assert [next(events) for _ in range(3)] == [HI, Pause(), Pause()]
    gate.set()
    assert next(event for event in events if not isinstance(event, Pause)) == STOP
    assert isinstance(next(events), Usage)
    assert next(events, None) is None
    turn.close()
    assert room.record.end == "completed"


def test_a_heartbeat_and_a_caller_who_goes() -> None:
    """Closing between two signs of life ends the upstream call, and is no fault."""
    provider = ScriptedProvider(HI, Event().wait, STOP)
    room = Room(provider, heartbeat_s=0.02)
    turn = room.take()
    events = turn.events()
    assert [next(events), next(events)] == [HI, Pause()]
    turn.close(errors.CallerGone())
    gevent.sleep(0)
    assert (room.record.end, room.record.error, provider.closed) == ("caller_gone", None, 1)


@pytest.mark.usefixtures("fine_ticks")
def test_a_heartbeat_is_not_a_word() -> None:
    """An answer that stalls is given up after idle_s, with or without signs of life."""
    first = ScriptedProvider(HI, Event().wait, name="first")
    second = ScriptedProvider(HI, STOP, name="second")
    room = Room(first, second, heartbeat_s=0.02, idle_s=0.1)
    heard = [event for event in room.hear() if not isinstance(event, Pause)]
    assert heard[:2] == [HI, STOP]
    assert room.told == [("first", "cut", "ProviderTimeout"), ("second", "answered", None)]
    assert first.closed == 1

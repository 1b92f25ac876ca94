"""Resume: an answer that is cut after its first word is gone on with, by the same target or the next one."""

import gevent
import pytest
from engine.rooms import ANSWER, CALL, HI, STOP, USAGE, Room, settle, spoken
from engine.test_seam import answers, is_alike, pieces, word_starts
from gevent.event import Event
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.events import Filler, Finish, Pause, Reasoning, Refusal, Start, Text, Usage

CUT = errors.ProviderBroken
STALLED = errors.ProviderTimeout


def test_the_same_target_goes_on() -> None:
    """A target that broke off says the rest itself, if it may be asked again: it knows its own voice."""
    first = ScriptedProvider(Text("one tw"), CUT(), name="first", then=[[Text("two three"), STOP, USAGE]])
    room = Room(first, ScriptedProvider(*ANSWER, name="second"))
    assert spoken(room.hear()) == "one two three"
    assert room.told == [("first", "cut", "ProviderBroken"), ("first", "answered", None)]
    assert (room.record.end, room.record.resumes) == ("completed", 1)


def test_the_next_target_goes_on() -> None:
    """A target without retries left is followed by the next one."""
    first = ScriptedProvider(Text("one tw"), CUT(), name="first")
    second = ScriptedProvider(Text("o three"), STOP, name="second")
    room = Room(first, second, retries=0)
    assert spoken(room.hear()) == "one two three"
    assert room.told == [("first", "cut", "ProviderBroken"), ("second", "answered", None)]
    assert room.record.target == "second/model"
    assert (first.closed, second.closed) == (1, 1)


@pytest.mark.usefixtures("fine_ticks")
def test_a_target_that_stalls_is_closed_and_left() -> None:
    """After idle_s of silence in mid-answer the call is closed, and another target goes on, whatever the retries."""
    first = ScriptedProvider(Text("one "), Reasoning("hm"), Event().wait, name="first")
    second = ScriptedProvider(Text("one two"), STOP, name="second")
    room = Room(first, second, idle_s=0.05, retries=5)
    assert spoken(room.hear()) == "one two"
    assert room.told == [("first", "cut", "ProviderTimeout"), ("second", "answered", None)]
    assert (first.begun, first.closed) == (1, 1)


@pytest.mark.usefixtures("fine_ticks", "quick_retries")
@pytest.mark.parametrize("retries", [0, 1])
def test_a_target_that_stalls_and_is_the_only_one(retries: int) -> None:
    """It has spoken once, so it is better asked again than given up, if it may be."""
    provider = ScriptedProvider(Text("one "), Event().wait, then=[[Text("one two"), STOP]])
    room = Room(provider, idle_s=0.05, retries=retries)
    if retries:
        assert spoken(room.hear()) == "one two"
    else:
        with pytest.raises(STALLED):
            room.hear()
    assert (provider.begun, provider.closed, room.record.resumes) == (retries + 1, retries + 1, retries)


def test_one_answer_is_heard() -> None:
    """One start, the words of both, one finish, and one usage last that adds up what both cost."""
    first = ScriptedProvider(Start("1"), Text("one "), Usage(5, 1), CUT(), name="first")
    second = ScriptedProvider(Start("2"), Text("one two"), STOP, Usage(9, 3), name="second")
    room = Room(first, second, retries=0)
    assert room.hear() == [Start("1"), Text("one "), Text("two"), STOP, Usage(14, 4)]
    assert [attempt.usage for attempt in room.record.attempts] == [Usage(5, 1), Usage(9, 3)]
    assert room.record.usage == Usage(14, 4)
    assert room.record.text_chars == len("one two")


def test_what_the_next_one_is_asked() -> None:
    """The same request, with what was said and a user's turn that asks for the rest; no word of a filler in it."""
    first = ScriptedProvider(lambda: gevent.sleep(0.05), Text("one "), Text("tw"), CUT(), name="first")
    second = ScriptedProvider(Text("o"), STOP, name="second")
    room = Room(first, second, retries=0, filler_after_s=0.01)
    assert isinstance(room.hear()[0], Filler)
    (asked, model), (before, _) = second.asked[0], first.asked[0]
    assert model == "model"
    assert asked.messages[:-2] == before.messages
    assert asked.messages[-2] == {"role": "assistant", "content": "one tw"}
    assert asked.messages[-1]["role"] == "user"
    assert '"tw"' in str(asked.messages[-1]["content"])
    assert (asked.params, asked.stream, asked.budget) == (before.params, before.stream, before.budget)


def test_cut_again_and_again() -> None:
    """Each attempt that goes on is asked to go on after all that was said before it."""
    first = ScriptedProvider(Text("one "), STALLED(), name="first")
    second = ScriptedProvider(Text("one two "), STALLED(), name="second")
    third = ScriptedProvider(Text("two three"), STOP, name="third")
    room = Room(first, second, third)
    assert spoken(room.hear()) == "one two three"
    assert [request.messages[-2]["content"] for request, _ in (second.asked[0], third.asked[0])] == ["one ", "one two "]
    assert room.record.resumes == 2


def test_who_is_to_go_on_may_fail_too() -> None:
    """A target that cannot even begin is followed by the next one, and that is no resuming."""
    first = ScriptedProvider(Text("one "), STALLED(), name="first")
    silent = ScriptedProvider(Event().wait, name="silent")
    last = ScriptedProvider(Text("two"), STOP, name="last")
    room = Room(first, silent, last, first_token_s=0.05)
    assert spoken(room.hear()) == "one two"
    assert room.told == [
        ("first", "cut", "ProviderTimeout"),
        ("silent", "failed", "ProviderTimeout"),
        ("last", "answered", None),
    ]
    settle()
    assert (room.record.resumes, silent.closed) == (1, 1)


@pytest.mark.parametrize(
    ("others", "raised"),
    [
        ([], CUT),
        ([errors.ProviderKeyRefused()], errors.ProviderKeyRefused),
        ([STOP], errors.EmptyAnswer),
        ([errors.ProviderRequestRefused()], CUT),  # the caller's own request was fine
        ([errors.ContextTooLong()], CUT),
    ],
)
def test_nobody_can_go_on(others: list[Step], raised: type[Exception]) -> None:
    """A cut that cannot be mended is an error, after all the words that there were, and never an apology."""
    providers = [ScriptedProvider(step, name=f"p{number}") for number, step in enumerate(others)]
    first = ScriptedProvider(Text("one "), CUT(), name="first")
    room = Room(first, *providers, retries=0, apology="Sorry.")
    turn = room.take()
    events = turn.events()
    assert next(events) == Text("one ")
    with pytest.raises(raised):
        list(events)
    turn.close()
    assert (room.record.end, room.record.apologised, room.record.resumes) == ("provider_error", False, 0)
    assert room.told[0] == ("first", "cut", "ProviderBroken")
    assert len(room.told) == 1 + len(others)


@pytest.mark.parametrize(
    "said", [[HI, CALL], [CALL], [Refusal("I cannot")], [HI, Refusal("I cannot")]], ids=["both", "call", "no", "hi no"]
)
def test_what_cannot_be_gone_on_with(said: list[Step]) -> None:
    """A tool call that has begun might be made twice, and a refusal is not to be argued with."""
    first, second = ScriptedProvider(*said, CUT(), name="first"), ScriptedProvider(*ANSWER, name="second")
    room = Room(first, second)
    with pytest.raises(CUT):
        room.hear()
    assert (first.begun, second.begun) == (1, 0)
    assert room.told == [("first", "cut", "ProviderBroken")]


def test_resuming_can_be_turned_off() -> None:
    """With resume = false a cut is an error at once."""
    second = ScriptedProvider(*ANSWER, name="second")
    room = Room(ScriptedProvider(HI, CUT(), name="first"), second, resume=False)
    with pytest.raises(CUT):
        room.hear()
    assert (second.begun, room.record.resumes) == (0, 0)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (errors.ProviderRequestRefused(), errors.ProviderRequestRefused),
        (ValueError("odd"), errors.InternalError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (errors.ServerStopping(), errors.ServerStopping),
    ],
)
def test_what_no_other_attempt_would_mend(fault: BaseException, raised: type[BaseException]) -> None:
    """A refusal and a fault of ours end the turn in mid-answer as they do before it."""
    first, second = ScriptedProvider(HI, fault, name="first"), ScriptedProvider(*ANSWER, name="second")
    with pytest.raises(raised):
        Room(first, second).hear()
    assert (first.closed, second.begun) == (1, 0)


def test_after_the_finish_there_is_nothing_to_go_on_with() -> None:
    """A provider that fails after its finish has answered."""
    room = Room(ScriptedProvider(HI, STOP, CUT()))
    assert room.hear()[:2] == [HI, STOP]
    assert room.told == [("scripted", "answered", None)]


def test_the_caller_goes_while_it_is_gone_on_with() -> None:
    """Closing ends the attempt that was to go on."""
    first = ScriptedProvider(HI, STALLED(), name="first")
    second = ScriptedProvider(Event().wait, name="second")
    room = Room(first, second, heartbeat_s=0.02)
    turn = room.take()
    events = turn.events()
    assert [next(events), next(events)] == [HI, Pause()]
    turn.close(errors.CallerGone())
    settle()
    assert second.closed == 1
    assert room.told == [("first", "cut", "ProviderTimeout"), ("second", "left", None)]
    assert room.record.end == "caller_gone"


@pytest.mark.usefixtures("fine_ticks")
def test_when_the_turn_s_time_is_over_nobody_goes_on() -> None:
    """total_s ends the turn in mid-answer too: no other target is asked, or said to have been."""
    first = ScriptedProvider(HI, Event().wait, name="first")
    second = ScriptedProvider(*ANSWER, name="second")
    room = Room(first, second, total_s=0.1)
    with pytest.raises(errors.ProviderTimeout):
        room.hear()
    assert second.begun == 0
    assert room.told == [("first", "cut", "ProviderTimeout")]
    assert room.record.end == "provider_timeout"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_heard_is_the_answer(data: st.DataObject) -> None:
    """Cut between any two events, begun again at any word: what the caller hears in all is the answer, once."""
    answer = data.draw(answers())
    parts = data.draw(pieces(answer))
    providers: list[ScriptedProvider] = []
    said, again = "", 0
    for number in range(data.draw(st.integers(1, 3))):
        cut = data.draw(st.integers(0, len(parts)))
        words = "".join(parts[:cut])
        if len(answer[again:][: len(words)]) <= len(said) - again:
            break  # it said nothing new: whether that can be gone on with is another question
        providers.append(ScriptedProvider(*map(Text, parts[:cut]), STALLED(), name=f"p{number}"))
        said = answer[: again + len(words)]
        again = data.draw(st.sampled_from(word_starts(said)))
        assume(not is_alike(said, answer[again:], before=again))
        parts = data.draw(pieces(answer[again:]))
    last = ScriptedProvider(*map(Text, parts), STOP, Usage(1, 1), name="last")
    room = Room(*providers, last)
    *heard, finish, usage = room.hear()
    assert spoken(heard) == answer
    assert finish == STOP
    assert isinstance(usage, Usage)
    assert not any(isinstance(event, Finish | Usage) for event in heard)
    assert room.record.resumes == len(providers)
    assert room.record.usage == usage

"""An attempt: one upstream call, which speaks or fails, and is closed at any moment and as often as one likes."""

import contextlib

import pytest
from engine.rooms import ANSWER, CALL, HI, REQUEST, STOP, Racing, settle
from gevent import GreenletExit
from gevent.event import Event
from gevent.queue import SimpleQueue
from scripted import Clinging, ScriptedProvider, Step

from app.domain import errors
from app.domain import events as domain_events
from app.domain.config import Target
from app.domain.events import Events, Reasoning, Start, Text
from app.domain.request import TurnRequest
from app.engine.attempt import LiveAttempt


class Call:
    """An attempt at a provider, and those who have arrived."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self.arrivals: SimpleQueue[LiveAttempt] = SimpleQueue()
        self.attempt = LiveAttempt(Target(provider.name, "model"), provider, REQUEST, self.arrivals, 3.0)

    def arrived(self) -> LiveAttempt:
        """Wait until it speaks or has failed."""
        return self.arrivals.get(timeout=1)


def test_it_arrives_when_it_speaks() -> None:
    """What came before the first word is kept, and what comes after it is not read before anybody wants it."""
    call = Call(ScriptedProvider(Start("id"), Reasoning("hm"), HI, STOP))
    attempt = call.arrived()
    assert attempt is call.attempt
    assert attempt.error is None
    assert attempt.first_speakable_at is not None
    assert attempt.began_at <= attempt.first_speakable_at
    assert list(attempt.events()) == [Start("id"), Reasoning("hm"), HI, STOP]


FAULTS: list[BaseException] = [
    errors.ProviderOverloaded(),
    ValueError("odd"),
    KeyboardInterrupt(),
    SystemExit(),
    BaseException("bare"),
    errors.CallerGone(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("before", [[], [Start("id"), Text("")]])
def test_whatever_is_raised_is_heard_of(fault: BaseException, before: list[Step]) -> None:
    """No exception of a provider is lost, of whatever class."""
    provider = ScriptedProvider(*before, fault)
    assert Call(provider).arrived().error is fault
    assert provider.closed == 1


class Refusing(ScriptedProvider):
    """A provider that raises as soon as it is asked, before there is a generator."""

    def stream(self, request: TurnRequest, model: str) -> Events:
        raise ValueError("not a generator")


def test_what_is_raised_before_the_first_step_is_heard_of() -> None:
    """A provider need not be a generator function."""
    assert isinstance(Call(Refusing()).arrived().error, ValueError)


def test_an_exit_of_its_own_is_a_failure() -> None:
    """A provider that raises what closing raises in it has failed, and nobody waits for it any longer."""
    assert Call(ScriptedProvider(Start("id"), GreenletExit())).arrived().error is not None


@pytest.mark.parametrize("script", [[], [Start("id")], [Reasoning("hm"), Text("")]])
def test_an_answer_that_just_ends_is_no_answer(script: list[Step]) -> None:
    """A provider that ends without a finish has broken off."""
    assert isinstance(Call(ScriptedProvider(*script)).arrived().error, errors.ProviderBroken)


def test_closing_before_the_call() -> None:
    """An attempt that was closed before its greenlet ran calls nobody."""
    provider = ScriptedProvider(*ANSWER)
    call = Call(provider)
    call.attempt.close()
    settle()
    assert provider.asked == []
    assert len(call.arrivals) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_closing_while_it_is_silent(times: int) -> None:
    """The call ends where it waits, and nothing arrives."""
    provider = ScriptedProvider(Start("id"), Event().wait, HI)
    call = Call(provider)
    settle()
    for _ in range(times):
        call.attempt.close()
    settle()
    assert (provider.begun, provider.closed, len(call.arrivals)) == (1, 1, 0)


def test_closing_after_the_first_word() -> None:
    """The call ends at once, and only once."""
    provider = ScriptedProvider(HI, STOP)
    attempt = Call(provider).arrived()
    attempt.close()
    attempt.close()
    assert provider.closed == 1
    assert list(attempt.events()) == [HI]


def test_closing_in_the_moment_of_the_first_word() -> None:
    """A word that is on its way when the attempt is closed does not keep the call open."""
    gate = Event()
    provider = ScriptedProvider(gate.wait, HI, Event().wait, STOP)
    call = Call(provider)
    settle()
    gate.set()  # its listeners run in the loop's next pass
    call.attempt.close()
    settle()
    assert provider.closed == 1


class Stubborn(ScriptedProvider):
    """A provider that takes closing for one more failure of its upstream, as a bare except does, and speaks on."""

    def _answer(self, steps: object) -> Events:
        self.begun += 1
        try:
            try:
                Event().wait()
            except BaseException:
                yield HI
            Event().wait()
        finally:
            self.closed += 1


def test_closing_one_that_will_not_hear_of_it() -> None:
    """A provider that swallows the closing and speaks is closed again."""
    provider = Stubborn()
    call = Call(provider)
    settle()
    call.attempt.close()
    settle()
    assert provider.closed == 1


def test_closing_one_that_cannot_let_go() -> None:
    """While it is silent nobody is there to hear that it fails to close, and nobody is harmed."""
    provider = Clinging(Event().wait, HI)
    call = Call(provider)
    settle()
    call.attempt.close()
    settle()
    assert provider.closed == 1


def test_the_attempts_of_others_are_closed_all_the_same() -> None:
    """One target that fails to close does not keep another one's call open."""
    gate = Event()
    providers = [Clinging(gate.wait, *ANSWER, name=name) for name in ("a", "b", "c")]
    racing = Racing(*providers, hedge_after_s=0.01, headers_after_s=0.08, first_token_s=30)
    next(racing.run)
    gate.set()
    settle()  # all of them have spoken, and nobody was told
    with contextlib.suppress(RuntimeError):
        racing.run.close()
    assert [provider.closed for provider in providers] == [1, 1, 1]
    assert [outcome for _, outcome, _ in racing.told] == ["left"] * 3
    racing.patience.close()


def test_what_is_told_of_an_attempt() -> None:
    """Its target, its times from the turn's start, its outcome; the caller's going is no error of it."""
    attempt = Call(ScriptedProvider(*ANSWER)).arrived()
    record = attempt.record("left", attempt.began_at - 0.25, errors.CallerGone())
    assert (record.target, record.outcome, record.error, record.upstream_status) == (
        "scripted/model",
        "left",
        None,
        None,
    )
    assert record.began_ms == pytest.approx(250, abs=0.2)
    assert 0 <= record.duration_ms < 5000
    failed = attempt.record("failed", attempt.began_at, errors.ProviderOverloaded(upstream_status=529))
    assert (failed.error, failed.upstream_status) == ("ProviderOverloaded", 529)


SPEAKABLE = {"Text": HI, "Refusal": domain_events.Refusal("No."), "ToolCall": CALL}


@pytest.mark.parametrize("event", SPEAKABLE.values(), ids=SPEAKABLE)
def test_what_speaks(event: domain_events.Event) -> None:
    """Words, a refusal in words and a tool call are what a caller hears, or what acts."""
    attempt = Call(ScriptedProvider(Start("id"), event, Event().wait)).arrived()
    assert attempt.error is None
    assert attempt.first_speakable_at is not None
    attempt.close()

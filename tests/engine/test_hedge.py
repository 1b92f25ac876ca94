"""Hedge: a second target is asked while the first may still speak, and whoever speaks first is heard."""

import time
from collections.abc import Callable
from itertools import count

import gevent
import pytest
from engine.rooms import ANSWER, HI, STOP, Racing, Room, settle, spoken
from gevent.event import Event
from scripted import Clinging, ScriptedProvider

from app.domain import errors
from app.domain.events import Text


def silence() -> object:
    """Wait for longer than any test, until somebody closes."""
    return Event().wait()


def slow(name: str, gate: Event, said: str = "Hi", kind: type[ScriptedProvider] = ScriptedProvider) -> ScriptedProvider:
    """Make a provider that speaks when its gate opens."""
    return kind(gate.wait, Text(said), STOP, name=name)


def opens(*gates: Event) -> Callable[[], None]:
    """Return a step of a script that opens gates."""

    def step() -> None:
        for gate in gates:
            gate.set()

    return step


def test_the_second_wins() -> None:
    """Both are asked; the second speaks first, so the first is closed at once and has lost."""
    first = ScriptedProvider(silence, name="first")
    second = ScriptedProvider(*ANSWER, name="second")
    racing = Racing(first, second, hedge_after_s=0.02)
    winner = racing.to_its_end()
    settle()
    assert (winner.target.provider, first.closed) == ("second", 1)
    assert racing.told == [("first", "lost", None)]
    assert list(winner.events()) == ANSWER
    (lost,) = racing.past
    assert lost.usage is not None
    assert lost.usage.estimated, "it was at work, and is paid for"


def test_the_first_wins_after_all() -> None:
    """Who was asked first may still be first; the other one is closed then."""
    gate = Event()
    first = slow("first", gate)
    second = ScriptedProvider(opens(gate), silence, name="second")
    racing = Racing(first, second, hedge_after_s=0.02)
    assert racing.to_its_end().target.provider == "first"
    settle()
    assert second.closed == 1
    assert racing.told == [("second", "lost", None)]


def test_a_quick_target_is_not_hedged() -> None:
    """The second one is asked only when the first is silent for so long."""
    first = ScriptedProvider(lambda: gevent.sleep(0.02), *ANSWER, name="first")
    second = ScriptedProvider(*ANSWER, name="second")
    Racing(first, second, hedge_after_s=0.5).to_its_end()
    assert second.begun == 0


def test_each_hedge_is_hedged() -> None:
    """Where all are silent they are asked one after the other, until there is nobody left."""
    providers = [ScriptedProvider(silence, name=f"p{number}") for number in range(3)]
    last = ScriptedProvider(*ANSWER, name="last")
    racing = Racing(*providers, last, hedge_after_s=0.01)
    assert racing.to_its_end().target.provider == "last"
    settle()
    assert [provider.closed for provider in providers] == [1, 1, 1]
    assert sorted(racing.told) == [(f"p{number}", "lost", None) for number in range(3)]


def test_one_fails_and_the_other_goes_on() -> None:
    """The failure of one of them costs nothing as long as the other may speak."""
    failed, gate = Event(), Event()
    first = ScriptedProvider(failed.wait, errors.ProviderKeyRefused(), name="first")
    second = ScriptedProvider(opens(failed), gate.wait, *ANSWER, name="second")
    gevent.spawn_later(0.1, gate.set)
    racing = Racing(first, second, hedge_after_s=0.01)
    assert racing.to_its_end().target.provider == "second"
    assert racing.told == [("first", "failed", "ProviderKeyRefused")]


@pytest.mark.usefixtures("quick_retries")
def test_both_fail() -> None:
    """Nobody is left: the caller gets the error of the last one to fail."""
    failed = Event()
    first = ScriptedProvider(failed.wait, errors.ProviderKeyRefused(), name="first")
    second = ScriptedProvider(opens(failed), lambda: gevent.sleep(0.02), errors.ProviderUnreachable(), name="second")
    with pytest.raises(errors.ProviderUnreachable):
        Racing(first, second, hedge_after_s=0.01, retries=0).to_its_end()
    assert (first.closed, second.closed) == (1, 1)


@pytest.mark.parametrize("fails", [False, True])
def test_a_refusal_by_one_of_them(fails: bool) -> None:
    """Who is at work already may still speak, but nobody else is asked; if it fails too, the refusal is the end."""
    gate = Event()
    steps = [errors.ProviderOverloaded()] if fails else ANSWER
    first = ScriptedProvider(gate.wait, *steps, name="first")
    second = ScriptedProvider(opens(gate), errors.ProviderRequestRefused(), name="second")
    third = ScriptedProvider(*ANSWER, name="third")
    racing = Racing(first, second, third, hedge_after_s=0.01, retries=3)
    if fails:
        with pytest.raises(errors.ProviderRequestRefused):
            racing.to_its_end()
    else:
        assert racing.to_its_end().target.provider == "first"
    assert ("second", "failed", "ProviderRequestRefused") in racing.told
    assert (first.begun, second.begun, third.begun) == (1, 1, 0)


def test_a_retry_has_a_hedge_of_its_own(quick_retries: None) -> None:
    """The clock of a hedge is the attempt's: what was planned for one that failed hedges none that came after it."""
    second_asked_s: list[float] = []
    retried_at: list[float] = []
    first = ScriptedProvider(
        lambda: gevent.sleep(0.15),
        errors.ProviderOverloaded(),
        name="first",
        then=[[lambda: retried_at.append(time.monotonic()), Event().wait]],
    )
    second = ScriptedProvider(lambda: second_asked_s.append(time.monotonic() - retried_at[0]), *ANSWER, name="second")
    Racing(first, second, hedge_after_s=0.2, retries=1).to_its_end()
    assert second_asked_s[0] > 0.19


def test_a_refusal_while_another_is_to_be_asked_again() -> None:
    """What is at fault is the request: nobody is asked again with it, and nobody is waited for."""
    first = ScriptedProvider(lambda: gevent.sleep(0.02), errors.ProviderOverloaded(), name="first")
    second = ScriptedProvider(lambda: gevent.sleep(0.04), errors.ProviderRequestRefused(), name="second")
    racing = Racing(first, second, hedge_after_s=0.01, retries=3)
    with pytest.raises(errors.ProviderRequestRefused):
        racing.to_its_end()
    assert (first.begun, second.begun) == (1, 1)


def test_both_speak_at_once() -> None:
    """One of them is heard, the other one is closed: not a word of two answers is mixed."""
    gate = Event()
    first, second = slow("first", gate, "one"), slow("second", gate, "two")
    racing = Racing(first, second, hedge_after_s=0.01, headers_after_s=0.05)
    next(racing.run)
    gate.set()
    winner = racing.to_its_end()
    settle()
    heard = list(winner.events())
    assert heard in ([Text("one"), STOP], [Text("two"), STOP])
    assert (first.closed, second.closed) == (1, 1)
    assert [outcome for _, outcome, _ in racing.told] == ["lost"]


def test_a_loser_that_speaks_as_it_is_closed() -> None:
    """A word that arrives in the moment of closing does not keep the lost call open."""
    gates = [Event(), Event()]
    first, second = (
        ScriptedProvider(gate.wait, HI, silence, name=name) for gate, name in zip(gates, "ab", strict=True)
    )
    racing = Racing(first, second, hedge_after_s=0.01, headers_after_s=0.05, first_token_s=30)
    next(racing.run)
    gates[0].set()
    gevent.get_hub().loop.run_callback(gates[1].set)  # a moment later: when the first has won
    racing.to_its_end()
    settle()
    assert (first.closed, second.closed) == (0, 1)
    assert racing.told == [("b", "lost", None)]


def test_a_loser_that_cannot_be_closed() -> None:
    """That the lost call fails to close costs the caller nothing."""
    gate = Event()
    first, second = slow("first", gate), slow("second", gate, "never", Clinging)
    racing = Racing(first, second, hedge_after_s=0.01, headers_after_s=0.05)
    next(racing.run)
    gate.set()
    assert list(racing.to_its_end().events()) == [HI, STOP]
    assert racing.told == [("second", "lost", None)]


def test_the_loser_may_go_on() -> None:
    """Where the winner is cut, the one that lost is asked to say the rest."""
    numbers = count()

    def silent_once() -> None:
        if next(numbers) == 0:
            silence()

    first = ScriptedProvider(silent_once, Text("and more."), STOP, name="first")
    second = ScriptedProvider(Text("Words "), errors.ProviderTimeout(), name="second")
    room = Room(first, second, hedge_after_s=0.01)
    assert spoken(room.hear()) == "Words and more."
    assert room.told == [("first", "lost", None), ("second", "cut", "ProviderTimeout"), ("first", "answered", None)]

"""Policy: what each way to fail means for the turn, and whether it is held against the target."""

from collections.abc import Iterator

import pytest
from engine.rooms import ANSWER, Racing
from scripted import ScriptedProvider

from app.domain import errors
from app.domain.config import Budget, Target
from app.engine.breaker import Breaker
from app.engine.policy import Next, policy_of

AGAIN, OTHER, NONE = Next.AGAIN, Next.OTHER, Next.NONE

MEANING: dict[type[errors.ProviderError], tuple[Next, bool]] = {
    errors.ProviderError: (AGAIN, True),
    errors.ProviderUnreachable: (AGAIN, True),
    errors.ProviderBroken: (AGAIN, True),
    errors.EmptyAnswer: (AGAIN, True),
    errors.ProviderTimeout: (OTHER, True),
    errors.ProviderOverloaded: (AGAIN, True),
    errors.ProviderRateLimited: (AGAIN, True),
    errors.ProviderKeyRefused: (OTHER, True),
    errors.ProviderNotConfigured: (OTHER, True),
    errors.ProviderModelNotFound: (OTHER, True),
    errors.ProviderRequestTooLarge: (OTHER, False),
    errors.ProviderRequestRefused: (NONE, False),
    errors.ContextTooLong: (OTHER, False),
    errors.ContentNotTaken: (OTHER, False),
    errors.FunctionFailed: (OTHER, True),
}
"""What happens next, and whether the breaker counts it."""


def kinds(root: type[errors.ProviderError]) -> Iterator[type[errors.ProviderError]]:
    """Walk the tree of errors."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from kinds(child)


def test_every_failure_has_a_meaning() -> None:
    """Whoever adds a way to fail says here what a turn does about it."""
    assert list(MEANING) == list(kinds(errors.ProviderError))


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("kind", MEANING, ids=lambda kind: kind.__name__)
def test_what_a_failure_means(kind: type[errors.ProviderError]) -> None:
    """The same target again, another one, or none at all: seen from outside, by who is asked."""
    meaning, _ = MEANING[kind]
    first = ScriptedProvider(kind(), name="first", then=[ANSWER])
    second = ScriptedProvider(*ANSWER, name="second")
    racing = Racing(first, second, retries=1)
    if meaning is NONE:
        with pytest.raises(kind):
            racing.to_its_end()
        assert (first.begun, second.begun) == (1, 0)
    else:
        assert racing.to_its_end().target.provider == ("first" if meaning is AGAIN else "second")
        assert (first.begun, second.begun) == ((2, 0) if meaning is AGAIN else (1, 1))
    assert racing.told == [("first", "failed", kind.__name__)]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("status", [408, 504])
def test_a_timeout_with_a_status_did_say_something(status: int) -> None:
    """A target that answers 408 or 504 was not silent, and is asked again."""
    first = ScriptedProvider(errors.ProviderTimeout(upstream_status=status), name="first", then=[ANSWER])
    second = ScriptedProvider(*ANSWER, name="second")
    racing = Racing(first, second, retries=1)
    assert racing.to_its_end().target.provider == "first"
    assert racing.past[0].upstream_status == status
    assert second.begun == 0


ODD: list[BaseException] = [
    errors.InvalidRequest(),
    errors.ServerStopping(),
    ValueError("odd"),
    KeyboardInterrupt(),
    SystemExit(),
    errors.CallerGone(),
]


@pytest.mark.parametrize("fault", ODD, ids=lambda fault: type(fault).__name__)
def test_what_no_provider_error_is(fault: BaseException) -> None:
    """A fault of ours goes to the caller as it is: asking elsewhere would hide it."""
    first, second = ScriptedProvider(fault, name="first"), ScriptedProvider(*ANSWER, name="second")
    with pytest.raises(type(fault)) as caught:
        Racing(first, second).to_its_end()
    assert caught.value is fault
    assert (first.closed, second.begun) == (1, 0)


def test_a_fault_may_be_of_any_class() -> None:
    """Whatever Python lets one raise has a meaning."""
    assert {policy_of(fault) for fault in [*ODD, BaseException(), StopIteration(), OSError()]} == {NONE}


@pytest.mark.parametrize("kind", MEANING, ids=lambda kind: kind.__name__)
def test_who_is_blamed(kind: type[errors.ProviderError]) -> None:
    """A target that refuses a request is well; every other failure counts against it."""
    breaker, budget = Breaker(), Budget(cooldown_after=1)
    provider = ScriptedProvider(kind(), name="first")
    with pytest.raises(kind):
        Racing(provider, breaker=breaker, retries=0, cooldown_after=1).to_its_end()
    first, other = Target("first", "model"), Target("other", "model")
    _, is_blamed = MEANING[kind]
    assert breaker.ordered([first, other], budget) == ([other, first] if is_blamed else [first, other])

"""Race: attempts, target by target, until one speaks; what was tried before it is told."""

import pytest
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.config import Route, Target
from app.domain.events import Finish, Reasoning, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.domain.turn import Attempt
from app.engine.race import LiveAttempt, race, with_defaults

REQUEST = TurnRequest(model="m", messages=[{"role": "user", "content": "Hi"}])
HI, STOP = Text("Hi"), Finish("stop")
CALL = ToolCall(0, "call_1", "end_call", "{}")


def run(*scripts: list[Step]) -> tuple[LiveAttempt, list[ScriptedProvider], list[Attempt]]:
    """Race one provider for each script; the attempt that speaks, the providers, and what was tried before."""
    providers = [ScriptedProvider(*script, name=f"p{place}") for place, script in enumerate(scripts)]
    route = Route([Target(provider.name, f"model-{provider.name}") for provider in providers])
    past: list[Attempt] = []
    try:
        attempt = race(REQUEST, route, {provider.name: provider for provider in providers}, past)
    except BaseException as error:
        error.told = (providers, past)  # type: ignore[attr-defined]
        raise
    return attempt, providers, past


@pytest.mark.parametrize("script", [[HI, STOP], [Start("id"), Reasoning("hm"), Usage(), CALL, STOP], [Text(""), HI]])
def test_the_first_target_answers(script: list[Step]) -> None:
    """As long as the primary speaks, no other target is asked, and nothing of its answer is lost."""
    attempt, (first, second), past = run([*script], [HI, STOP])
    assert str(attempt.target) == "p0/model-p0"
    assert past == []
    assert list(attempt.events()) == script
    assert first.asked == [(REQUEST, "model-p0")]
    assert second.asked == []


def test_it_waits_no_longer_than_the_first_speakable_event() -> None:
    """A turn commits while the rest of the answer is still to come."""
    reached: list[bool] = []
    attempt, _, _ = run([Start("id"), HI, lambda: reached.append(True), STOP])
    assert reached == []
    assert list(attempt.events()) == [Start("id"), HI, STOP]
    assert reached == [True]


FALL_BACK: list[Step] = [
    errors.ProviderUnreachable(),
    errors.ProviderTimeout(),
    errors.ProviderBroken(),
    errors.ProviderOverloaded(upstream_status=529),
    errors.ProviderRateLimited(upstream_status=429),
    errors.ProviderKeyRefused(upstream_status=401),
    errors.ProviderNotConfigured(),
    errors.ProviderModelNotFound(upstream_status=404),
    errors.ProviderRequestTooLarge(upstream_status=413),
    errors.ContextTooLong(upstream_status=400),
    errors.FunctionFailed(),
]


@pytest.mark.parametrize("failure", FALL_BACK, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("before", [[], [Start("id"), Reasoning("hm"), Text("")]])
def test_the_next_target_answers(failure: errors.ProviderError, before: list[Step]) -> None:
    """A failure before the first word costs the caller nothing but time: the next target is asked."""
    attempt, (first, second), past = run([*before, failure], [HI, STOP])
    assert list(attempt.events()) == [HI, STOP]
    assert [(each.target, each.error, each.upstream_status) for each in past] == [
        ("p0/model-p0", type(failure).__name__, failure.upstream_status),
    ]
    assert (first.closed, second.closed) == (1, 1)


def test_an_answer_that_just_ends_is_no_answer() -> None:
    """A provider that ends without a finish has broken off, and the next one is asked."""
    attempt, _, past = run([Start("id")], [HI, STOP])
    assert str(attempt.target) == "p1/model-p1"
    assert past[0].error == "ProviderBroken"


def test_the_last_failure_is_the_caller_s() -> None:
    """When no target speaks, the caller gets the last one's error, and all attempts are told."""
    with pytest.raises(errors.ProviderTimeout) as caught:
        run([errors.ProviderUnreachable()], [errors.ProviderTimeout()])
    _, past = caught.value.told  # type: ignore[attr-defined]
    assert [attempt.error for attempt in past] == ["ProviderUnreachable", "ProviderTimeout"]


@pytest.mark.parametrize("failure", [errors.ProviderRequestRefused(), errors.InvalidRequest(), ValueError("odd")])
def test_what_another_target_would_not_mend(failure: Exception) -> None:
    """A refused request, or a fault of ours, goes to the caller at once: no other target is asked."""
    with pytest.raises(type(failure)) as caught:
        run([failure], [HI, STOP])
    (first, second), past = caught.value.told  # type: ignore[attr-defined]
    assert [attempt.error for attempt in past] == [type(failure).__name__]
    assert (first.closed, second.begun) == (1, 0)


def test_a_caller_who_goes_is_no_failure_of_the_target() -> None:
    """CallerGone ends the attempt, which is told without an error."""
    with pytest.raises(errors.CallerGone) as caught:
        run([Start("id"), errors.CallerGone()], [HI, STOP])
    (first, second), past = caught.value.told  # type: ignore[attr-defined]
    assert [(attempt.target, attempt.error) for attempt in past] == [("p0/model-p0", None)]
    assert (first.closed, second.begun) == (1, 0)


def test_an_empty_answer_is_told_as_one() -> None:
    """An answer that finishes without a word is complete, but there was no first word."""
    attempt, _, _ = run([Start("id"), STOP])
    assert attempt.first_speakable_at is None
    attempt, _, _ = run([Start("id"), CALL, STOP])
    assert attempt.first_speakable_at is not None


def test_closing_ends_the_call_once() -> None:
    """An attempt may be closed at any moment and as often as one likes."""
    attempt, (provider,), _ = run([HI, STOP])
    attempt.close()
    attempt.close()
    assert provider.closed == 1
    assert list(attempt.events()) == [HI]


def test_closing_before_the_call() -> None:
    """An attempt that was never begun calls nobody."""
    provider = ScriptedProvider(HI, STOP)
    LiveAttempt(Target("scripted", "m"), provider, REQUEST).close()
    assert provider.asked == []


def test_a_route_s_defaults() -> None:
    """A route's parameters fill in what the request leaves open, and change nothing of the request itself."""
    request = TurnRequest(model="m", messages=[], params={"temperature": 0, "seed": 1})
    route = Route([Target("p", "m")], {"temperature": 0.6, "max_tokens": 77})
    assert with_defaults(request, route).params == {"temperature": 0, "max_tokens": 77, "seed": 1}
    assert request.params == {"temperature": 0, "seed": 1}
    assert with_defaults(request, Route([Target("p", "m")])) == request
    shown = with_defaults(request, Route([Target("p", "m")], prompt_caching=False, reasoning_content=True))
    assert (shown.prompt_caching, shown.reasoning_content) == (False, True)

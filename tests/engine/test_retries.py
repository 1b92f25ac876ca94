"""Retries: a target is asked again after a while that grows, never hammered, and when it asks for time it gets it."""

from typing import Any

import pytest
from engine.rooms import ANSWER, Racing
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedProvider

from app.domain import errors
from app.engine import race

DOWN = errors.ProviderOverloaded


def began(racing: Racing) -> list[float]:
    """Return when each attempt began, in seconds from the turn's start."""
    last = [] if racing.winner is None else [racing.winner.record("answered", racing.race._began_at)]
    return [attempt.began_ms / 1000 for attempt in [*racing.past, *last]]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_target_is_asked_again_so_often(retries: int) -> None:
    """Each target has its own retries, and the next one is asked when they are used up."""
    first, second = ScriptedProvider(DOWN(), name="first"), ScriptedProvider(DOWN(), name="second")
    with pytest.raises(DOWN):
        Racing(first, second, retries=retries).to_its_end()
    assert (first.begun, second.begun) == (retries + 1, retries + 1)


@pytest.mark.usefixtures("quick_retries")
def test_a_target_that_comes_back_answers() -> None:
    """A second failure is not the end as long as there are retries left."""
    provider = ScriptedProvider(DOWN(), then=[[errors.ProviderBroken()], ANSWER])
    racing = Racing(provider, retries=2)
    assert list(racing.to_its_end().events()) == ANSWER
    assert [error for _, _, error in racing.told] == ["ProviderOverloaded", "ProviderBroken"]


@pytest.mark.usefixtures("quick_retries")
def test_retries_after_an_error_and_silence() -> None:
    """A target that fails and then is silent is given up, though it has retries left."""
    first = ScriptedProvider(DOWN(), name="first", then=[[errors.ProviderTimeout()]])
    racing = Racing(first, ScriptedProvider(*ANSWER, name="second"), retries=5)
    assert racing.to_its_end().target.provider == "second"
    assert first.begun == 2


class Planned:
    """A race in a time of its own: each attempt fails when it is `asked`, and what is planned then is looked at."""

    def __init__(self, patch: pytest.MonkeyPatch, jitter: float, **budget: Any) -> None:
        self.now = 1000.0
        self.asked_at: list[float] = []
        patch.setattr(race.random, "uniform", lambda low, high: low + jitter * (high - low))
        patch.setattr(race.time, "monotonic", lambda: self.now)
        self.provider = ScriptedProvider(*ANSWER)
        self.racing = Racing(self.provider, **budget)
        self.racing.patience.close()

    def delays(self, errors_: list[errors.ProviderError]) -> list[float]:
        """Fail so, one after the other; how long was waited each time, until the target is given up."""
        waits: list[float] = []
        racing = self.racing.race
        target = self.racing.race._left[0]
        for error in errors_:
            racing._asked_at[target].append(self.now)
            self.asked_at.append(self.now)
            delay = racing._delay_s(target, error)
            if delay is None:
                break
            waits.append(delay)
            self.now += delay
        return waits


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_the_back_off_grows_and_has_bounds(jitter: float) -> None:
    """It doubles from 0.2 s up to 2 s, and chance takes away up to one half, so that turns do not come in step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "MOST_IN_WINDOW", 99)
        waits = Planned(patch, jitter, retries=6).delays([DOWN()] * 7)
    assert waits == pytest.approx([(0.5 + jitter / 2) * most for most in (0.2, 0.4, 0.8, 1.6, 2.0, 2.0)])


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 30),
    st.floats(0, 1),
    st.lists(st.none() | st.floats(0, 0.5), min_size=31, max_size=31),
)
def test_a_target_is_never_hammered(retries: int, jitter: float, asks: list[float | None]) -> None:
    """No more than 4 attempts within any 3 s, whatever the retries, the luck and what the target asks for."""
    with pytest.MonkeyPatch.context() as patch:
        planned = Planned(patch, jitter, retries=retries)
        planned.delays([DOWN(retry_after_s=asked) for asked in asks])
    times = planned.asked_at
    assert len(times) == retries + 1
    assert all(later - earlier > 3.0 - 1e-6 for earlier, later in zip(times, times[4:], strict=False))


def test_the_window_holds_in_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is planned is what happens: five attempts take the window's length at least."""
    monkeypatch.setattr(race, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(race, "WINDOW_S", 0.2)
    racing = Racing(ScriptedProvider(DOWN()), retries=8)
    with pytest.raises(DOWN):
        racing.to_its_end()
    times = began(racing)
    assert len(times) == 9
    assert all(later - earlier >= 0.195 for earlier, later in zip(times, times[4:], strict=False))


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(("asked_s", "provider"), [(0.1, "first"), (0.5, "first"), (0.51, "second"), (60, "second")])
def test_retry_after(asked_s: float, provider: str) -> None:
    """A target that asks for a short while gets it; one that asks for longer is not waited for."""
    first = ScriptedProvider(errors.ProviderRateLimited(retry_after_s=asked_s), name="first", then=[ANSWER])
    racing = Racing(first, ScriptedProvider(*ANSWER, name="second"), retry_after_max_s=0.5)
    assert racing.to_its_end().target.provider == provider
    _, again = began(racing)
    assert again >= asked_s if provider == "first" else again < 0.2


@pytest.mark.usefixtures("quick_retries")
def test_retry_after_and_nobody_else() -> None:
    """A target that asks for too long and is the only one is the end of the turn, at once, and the caller hears why."""
    provider = ScriptedProvider(errors.ProviderRateLimited(retry_after_s=7))
    with pytest.raises(errors.ProviderRateLimited) as caught:
        Racing(provider, retries=3).to_its_end()
    assert (provider.begun, caught.value.retry_after_s) == (1, 7)


def test_retry_after_does_not_shorten_the_back_off() -> None:
    """Asking for a millisecond is no leave to hammer."""
    with pytest.MonkeyPatch.context() as patch:
        waits = Planned(patch, 0.0, retries=1).delays([DOWN(retry_after_s=0.001)])
    assert waits == pytest.approx([0.1])


def test_what_is_planned_is_dropped_with_the_race() -> None:
    """A caller who goes during the back-off leaves nothing behind that would ask again."""
    provider = ScriptedProvider(DOWN())
    racing = Racing(provider, headers_after_s=0.01)
    next(racing.run)
    assert (provider.begun, racing.told) == (1, [("scripted", "failed", "ProviderOverloaded")])
    racing.run.close()
    racing.patience.close()
    assert racing.race._agenda == []
    assert provider.begun == 1

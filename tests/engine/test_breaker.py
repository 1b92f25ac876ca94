"""The breaker: who fails again and again is asked last for a while, and then by one turn, to see if it is back."""

import pytest
from engine.fleets import Sea
from engine.rooms import settle
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.domain.config import Budget, Target
from app.engine import breaker as module
from app.engine.breaker import Breaker
from app.engine.exchange import Exchange

BUDGET = Budget(cooldown_s=10.0, cooldown_after=3)
A, B, C = TARGETS = [Target("p", "a"), Target("p", "b"), Target("q", "a")]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Broken:
    """A breaker with its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(self.clock)

    def fail(self, target: Target, times: int = 3) -> None:
        """Let a target fail."""
        for _ in range(times):
            self.breaker.asked(target, BUDGET)
            self.breaker.failed(target, BUDGET)

    def order(self) -> list[Target]:
        """Tell in which order the three are asked."""
        return self.breaker.ordered(TARGETS, BUDGET)


@pytest.fixture
def broken() -> Broken:
    """Make a breaker that knows nothing."""
    return Broken()


def test_targets_that_are_well_keep_their_order(broken: Broken) -> None:
    """As long as nobody fails often, the order is the operator's."""
    assert broken.order() == [A, B, C]
    broken.fail(A, 2)
    broken.fail(C, 1)
    assert broken.order() == [A, B, C]


def test_who_fails_too_often_is_asked_last(broken: Broken) -> None:
    """After cooldown_after failures in a row a target comes last, and is not left out."""
    broken.fail(A)
    assert broken.order() == [B, C, A]


def test_after_the_cooldown_it_is_asked_by_one(broken: Broken) -> None:
    """One turn probes; for others it is still the last, until the probe is decided."""
    broken.fail(A)
    broken.clock.now += 9.9
    assert broken.order() == [B, C, A]
    broken.clock.now += 0.1
    assert broken.order() == [A, B, C]
    broken.breaker.asked(A, BUDGET)
    assert broken.order() == [B, C, A]


def test_a_probe_that_is_answered_forgives_all(broken: Broken) -> None:
    """The target is as good as new: it takes as many failures again."""
    broken.fail(A)
    broken.clock.now += 10
    broken.breaker.asked(A, BUDGET)
    broken.breaker.succeeded(A)
    assert broken.order() == [A, B, C]
    broken.fail(A, 2)
    assert broken.order() == [A, B, C]


def test_a_probe_that_fails_begins_the_cooldown_anew(broken: Broken) -> None:
    """One failure is enough then."""
    broken.fail(A)
    broken.clock.now += 10
    broken.fail(A, 1)
    broken.clock.now += 9.9
    assert broken.order() == [B, C, A]
    broken.clock.now += 0.1
    assert broken.order() == [A, B, C]


def test_a_probe_that_was_left_decides_nothing(broken: Broken) -> None:
    """When the caller goes before one can tell, the next turn may probe."""
    broken.fail(A)
    broken.clock.now += 10
    broken.breaker.asked(A, BUDGET)
    broken.breaker.left(A)
    assert broken.order() == [A, B, C]


def test_a_probe_that_is_never_decided_expires(broken: Broken) -> None:
    """A turn that gets lost does not lock a target out for ever."""
    broken.fail(A)
    broken.clock.now += 10
    broken.breaker.asked(A, BUDGET)
    broken.clock.now += 10
    assert broken.order() == [A, B, C]


def test_success_ends_a_row_of_failures(broken: Broken) -> None:
    """Only failures in a row count."""
    broken.fail(A, 2)
    broken.breaker.succeeded(A)
    broken.fail(A, 2)
    assert broken.order() == [A, B, C]


def test_when_all_are_down_the_least_bad_is_asked_first(broken: Broken) -> None:
    """Somebody has to be asked: whoever has been left alone the longest."""
    for target in (C, A, B):
        broken.fail(target)
        broken.clock.now += 1
    assert broken.order() == [C, A, B]


def test_each_model_has_its_own(broken: Broken) -> None:
    """Another model of the same provider may be well."""
    broken.fail(A)
    assert broken.breaker.ordered([A, B], BUDGET) == [B, A]
    assert broken.breaker.ordered([Target("q", "a"), B], BUDGET) == [C, B]


def test_each_route_has_its_own_measure(broken: Broken) -> None:
    """How many failures are too many is the asking route's to say."""
    broken.fail(A)
    assert broken.breaker.ordered([A, B], BUDGET) == [B, A]
    assert broken.breaker.ordered([A, B], Budget(cooldown_after=5)) == [A, B]


def test_what_is_known_has_a_bound(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who names one model after the other does not fill the memory; the oldest is forgotten."""
    monkeypatch.setattr(module, "MOST_TARGETS", 5)
    for number in range(20):
        broken.fail(Target("p", f"model-{number}"))
    assert len(broken.breaker._states) == 5
    asked = [Target("p", f"model-{number}") for number in range(20)]
    known = [target for target in asked if broken.breaker.ordered([target, A], BUDGET) == [A, target]]
    assert known == asked[15:]


def test_what_is_told_of_it(broken: Broken) -> None:
    """A target that failed lately is known as such, then as open, and as half open when it may be asked again."""
    assert broken.breaker.states() == {}
    broken.fail(A, 2)
    assert broken.breaker.states() == {"p/a": 0}
    broken.fail(A, 1)
    assert broken.breaker.states() == {"p/a": 2}
    broken.clock.now += 10.0
    assert broken.breaker.states() == {"p/a": 1}
    broken.breaker.succeeded(A)
    assert broken.breaker.states() == {}


class Model:
    """What is known of one target, said plainly."""

    def __init__(self) -> None:
        self.failures = 0
        self.opened_at = -1e9
        self.probed_at: float | None = None

    def is_open(self, now: float) -> bool:
        """Whether it is to be left alone."""
        if self.failures < BUDGET.cooldown_after:
            return False
        is_cooling = now < self.opened_at + BUDGET.cooldown_s
        is_probed = self.probed_at is not None and now < self.probed_at + BUDGET.cooldown_s
        return is_cooling or is_probed


class BreakerMachine(RuleBasedStateMachine):
    """Anything may happen to any target at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = Broken()
        self.known = {target: Model() for target in TARGETS}

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0, 30.0]))
    def time_goes_by(self, seconds: float) -> None:
        """Wait."""
        self.broken.clock.now += seconds

    @rule(which=st.sampled_from(TARGETS))
    def is_asked(self, which: Target) -> None:
        """A turn asks it, which is a probe if it had failed and its time is over."""
        known, now = self.known[which], self.broken.clock.now
        self.broken.breaker.asked(which, BUDGET)
        if known.failures >= BUDGET.cooldown_after and now >= known.opened_at + BUDGET.cooldown_s:
            known.probed_at = now

    @rule(which=st.sampled_from(TARGETS))
    def fails(self, which: Target) -> None:
        """It fails."""
        self.broken.breaker.failed(which, BUDGET)
        known = self.known[which]
        known.failures += 1
        known.probed_at = None
        if known.failures >= BUDGET.cooldown_after:
            known.opened_at = self.broken.clock.now

    @rule(which=st.sampled_from(TARGETS))
    def answers(self, which: Target) -> None:
        """It answers."""
        self.broken.breaker.succeeded(which)
        self.known[which] = Model()

    @rule(which=st.sampled_from(TARGETS))
    def is_left(self, which: Target) -> None:
        """Its caller goes."""
        self.broken.breaker.left(which)
        self.known[which].probed_at = None

    @invariant()
    def the_open_ones_come_last(self) -> None:
        """Nobody is left out, those that are well come first and in their order."""
        order = self.broken.order()
        assert sorted(order, key=TARGETS.index) == TARGETS
        now = self.broken.clock.now
        well = [target for target in TARGETS if not self.known[target].is_open(now)]
        assert order[: len(well)] == well


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class Several:
    """Breakers of several workers that share a store, with one clock."""

    def __init__(self, *names: str) -> None:
        self.sea = Sea()
        self.clock = Clock()
        self.breakers = {name: self.join(name) for name in names}

    def join(self, name: str) -> Breaker:
        """Let one more worker in, as the exchange does."""
        ship = self.sea.ship(name)
        breaker = Breaker(self.clock, ship)
        exchange = Exchange(ship, lambda key: None, breaker)
        exchange.open()
        settle()
        return breaker

    def order(self, name: str, budget: Budget = BUDGET) -> list[Target]:
        """Tell in which order a worker's turns ask the three."""
        return self.breakers[name].ordered(TARGETS, budget)

    def fail(self, name: str, times: int = 1, target: Target = A) -> None:
        """Let a worker see a target fail."""
        for _ in range(times):
            self.breakers[name].failed(target, BUDGET)
        settle()

    def probe(self, name: str) -> bool:
        """Whether a turn at this worker, which asks the first of its order, is the probe of A."""
        is_probe = self.order(name)[0] == A and self.breakers[name].asked(A, BUDGET)
        settle()
        return is_probe


@pytest.fixture
def several() -> Several:
    """Three workers."""
    return Several("x", "y", "z")


def test_failures_are_counted_over_all_workers(several: Several) -> None:
    """It does not matter which worker sees a target fail: cooldown_after failures in a row are enough for all."""
    for name in "xyz":
        assert several.order(name) == [A, B, C]
        several.fail(name)
    assert [several.order(name) for name in "xyz"] == [[B, C, A]] * 3


def test_an_answer_at_one_worker_forgives_at_all(several: Several) -> None:
    """Failures in a row are those of all workers."""
    several.fail("x", 2)
    several.breakers["y"].succeeded(A)
    settle()
    several.fail("z", 2)
    assert several.order("x") == [A, B, C]


def test_one_worker_probes(several: Several) -> None:
    """After the cooldown a turn of one worker asks the target, whoever comes first; the others leave it alone."""
    several.fail("x", 3)
    several.clock.now += 10
    assert [several.probe(name) for name in "yxz"] == [True, False, False]
    several.breakers["y"].succeeded(A)
    settle()
    assert [several.order(name) for name in "xyz"] == [[A, B, C]] * 3


def test_the_store_decides_who_probes(several: Several) -> None:
    """Even if nobody has heard of the other's probe yet, there is one."""
    several.fail("x", 3)
    several.clock.now += 10
    orders = [several.order(name) for name in "xyz"]
    assert [orders.count([A, B, C]), orders.count([B, C, A])] == [1, 2]


def test_a_probe_that_fails_is_known_to_all(several: Several) -> None:
    """Another cooldown begins, for every worker."""
    several.fail("x", 3)
    several.clock.now += 10
    assert several.probe("y")
    several.fail("y")
    several.clock.now += 9
    assert [several.order(name) for name in "xyz"] == [[B, C, A]] * 3


def test_a_probe_that_was_left_is_known_to_all(several: Several) -> None:
    """The next turn may probe, at any worker."""
    several.fail("x", 3)
    several.clock.now += 10
    assert several.probe("y")
    several.breakers["y"].left(A)
    settle()
    assert several.probe("z")


def test_a_worker_that_comes_later(several: Several) -> None:
    """It is told at once what the others know: which targets are open, and how often others have failed."""
    several.fail("x", 3)
    several.fail("y", 2, B)
    several.clock.now += 4
    several.breakers["new"] = several.join("new")
    assert several.order("new") == [B, C, A]
    several.fail("new", 1, B)
    assert several.order("new") == [C, A, B]
    several.clock.now += 6
    assert several.probe("new")


def test_without_the_others(several: Several) -> None:
    """A breaker that is switched off claims nothing, and one alone asks nobody."""
    off = Budget(cooldown_s=0.0, cooldown_after=1)
    several.breakers["x"].failed(A, off)
    settle()
    assert several.order("x", off) == [A, B, C]
    assert several.sea.claims == {}

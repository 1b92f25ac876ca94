"""The promises of every limiter; a limiter's own test file is only its set-up."""

from app.domain.limits import Limits, Meter
from app.domain.ports import Limiter

CALLER = Meter("caller", Limits(requests_per_minute=3, tokens_per_minute=100, turns_at_once=2))
ROUTE = Meter("caller:route", Limits(requests_per_minute=2, turns_at_once=1))


class LimiterContract:
    """Inherit it, with a fixture `limiter`."""

    def test_as_many_requests_as_are_allowed(self, limiter: Limiter) -> None:
        """So many are counted and no more; those that are refused are not."""
        counts = [limiter.count([CALLER])[0] for _ in range(5)]
        assert [count.is_taken for count in counts] == [True, True, True, False, False]
        assert [count.requests.remaining for count in counts if count.requests] == [2, 1, 0, 0, 0]
        assert all(count.tokens is not None and count.tokens.remaining == 100 for count in counts)

    def test_callers_do_not_share(self, limiter: Limiter) -> None:
        """What one uses is not taken from another."""
        other = Meter("other", CALLER.limits)
        for _ in range(4):
            limiter.count([CALLER])
        assert limiter.count([other])[0].is_taken

    def test_several_meters(self, limiter: Limiter) -> None:
        """Each says what it has, in their order."""
        for _ in range(2):
            limiter.count([CALLER, ROUTE])
        caller, route = limiter.count([CALLER, ROUTE])
        assert (caller.is_taken, route.is_taken) == (True, False)
        assert route.tokens is None

    def test_tokens_count_though_there_is_no_room(self, limiter: Limiter) -> None:
        """What was spent was spent: the window is over its limit then."""
        for tokens in (60, 60):
            limiter.leave([CALLER, ROUTE], None, tokens)
        (count,) = limiter.count([CALLER])
        assert count.tokens is not None
        assert count.tokens.remaining == 0
        assert count.tokens.wait_s > 0

    def test_places(self, limiter: Limiter) -> None:
        """One of each meter or none; what is given back can be taken again."""
        first = limiter.enter([CALLER, ROUTE])
        assert first is not None
        assert limiter.enter([CALLER, ROUTE]) is None
        second = limiter.enter([CALLER])
        assert second is not None
        assert limiter.enter([CALLER]) is None
        limiter.leave([CALLER, ROUTE], first, 0)
        assert limiter.enter([CALLER, ROUTE]) is not None
        assert limiter.enter([CALLER]) is None

    def test_meters_without_a_limit(self, limiter: Limiter) -> None:
        """A meter that bounds something else says nothing of requests and tokens."""
        (count,) = limiter.count([Meter("caller", Limits(turns_at_once=1))])
        assert count == (None, None, True)

"""The arithmetic of sliding windows: what is left, when there is room, and when all of it is back."""

import pytest

from app.domain.limits import WINDOW_S, Limits, Window, exact, fading


@pytest.mark.parametrize(
    ("used", "oldest_s", "window"),
    [
        (0, 0.0, Window(10, 10, 0.0, 0.0)),
        (4, 30.0, Window(10, 6, 60.0, 0.0)),
        (10, 45.0, Window(10, 0, 60.0, 15.001)),
        (10, 60.5, Window(10, 0, 60.0, 0.001)),
    ],
)
def test_every_use_is_known(used: int, oldest_s: float, window: Window) -> None:
    """There is room again when the oldest use is a minute old."""
    assert exact(10, used, oldest_s) == window


@pytest.mark.parametrize(
    ("state", "remaining", "reset_s", "wait_s"),
    [
        ((0, 0.0, 0, 0.0), 10, 0.0, 0.0),
        ((0, 0.0, 4, 119.0), 6, 119.0, 0.0),
        ((10, 30.0, 0, 0.0), 5, 30.0, 0.0),
        # Full: the running minute ends in 30 s, and a tenth of the next one later there is room for one.
        ((0, 0.0, 10, 90.0), 0, 90.0, 30.001),
        # As much again beyond the limit, as tokens may be: half of the next minute has to go by too.
        ((0, 0.0, 20, 90.0), 0, 90.0, 60.001),
        # Full because of the one before, which fades by one every 6 s.
        ((10, 36.0, 4, 96.0), 0, 96.0, 0.001),
        ((10, 42.0, 4, 102.0), 0, 102.0, 6.001),
    ],
)
def test_uses_are_known_by_the_minute(
    state: tuple[int, float, int, float], remaining: int, reset_s: float, wait_s: float
) -> None:
    """What is told to the caller follows from the two minutes."""
    assert fading(10, *state) == pytest.approx((10, remaining, reset_s, wait_s))


@pytest.mark.parametrize("limit", [1, 3, 10, 1000])
@pytest.mark.parametrize("before", [0, 1, 10, 1001])
@pytest.mark.parametrize("running", [0, 1, 9, 10, 1500])
def test_who_waits_so_long_has_room(limit: int, before: int, running: int) -> None:
    """After wait_s one more is allowed, and not noticeably earlier."""

    def later(seconds: float) -> Window:
        before_ends_s, running_ends_s = 25.0 - seconds, 85.0 - seconds
        if running_ends_s >= WINDOW_S:
            return fading(limit, before, max(0.0, before_ends_s), running, running_ends_s)
        return fading(limit, running, running_ends_s, 0, 0.0)

    if wait_s := later(0).wait_s:
        assert later(wait_s).remaining > 0
        assert later(wait_s - 0.01).remaining == 0


def test_no_limit_is_no_limit() -> None:
    """A table of zeros is as good as none."""
    assert not Limits()
    assert Limits(turns_at_once=1)

"""The arithmetic of a sliding window: what is left, when there is room, and when all of it is back."""

import pytest

from app.domain.limits import WINDOW_S, Limits, Window


@pytest.mark.parametrize(
    ("window", "remaining", "reset_s", "wait_s"),
    [
        (Window(10, 0, 0.0, 0, 0.0), 10, 0.0, 0.0),
        (Window(10, 0, 0.0, 4, 119.0), 6, 119.0, 0.0),
        (Window(10, 10, 30.0, 0, 0.0), 5, 30.0, 0.0),
        # Full: the running window ends in 30 s, and a tenth of the next one later there is room for one.
        (Window(10, 0, 0.0, 10, 90.0), 0, 90.0, 30.001),
        # As much again beyond the limit, as tokens may be: half of the next window has to go by too.
        (Window(10, 0, 0.0, 20, 90.0), 0, 90.0, 60.001),
        # Full because of the one before, which fades by one every 6 s.
        (Window(10, 10, 36.0, 4, 96.0), 0, 96.0, 0.001),
        (Window(10, 10, 42.0, 4, 102.0), 0, 102.0, 6.001),
    ],
)
def test_a_window(window: Window, remaining: int, reset_s: float, wait_s: float) -> None:
    """What is told to the caller follows from the two windows."""
    assert window.remaining == remaining
    assert window.reset_s == pytest.approx(reset_s)
    assert window.wait_s == pytest.approx(wait_s)


@pytest.mark.parametrize("limit", [1, 3, 10, 1000])
@pytest.mark.parametrize("before", [0, 1, 10, 1001])
@pytest.mark.parametrize("running", [0, 1, 9, 10, 1500])
def test_who_waits_so_long_has_room(limit: int, before: int, running: int) -> None:
    """After wait_s one more is allowed, and not noticeably earlier."""
    window = Window(limit, before, 25.0, running, 85.0)
    if window.wait_s:
        assert later(window, window.wait_s).remaining > 0
        assert later(window, window.wait_s - 0.01).remaining == 0


def later(window: Window, seconds: float) -> Window:
    """Return the same window as it is seen later."""
    before_ends_s, running_ends_s = window.before_ends_s - seconds, window.running_ends_s - seconds
    if running_ends_s >= WINDOW_S:
        return Window(window.limit, window.before, max(0.0, before_ends_s), window.running, running_ends_s)
    return Window(window.limit, window.running, running_ends_s, 0, 0.0)


def test_no_limit_is_no_limit() -> None:
    """A table of zeros is as good as none."""
    assert not Limits()
    assert Limits(turns_at_once=1)

"""What changes how time goes by in the engine's tests."""

from weakref import WeakKeyDictionary

import pytest

from app.engine import patience, race


@pytest.fixture
def fine_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the turns' clock tick every 10 ms, for tests in which an answer falls silent."""
    monkeypatch.setattr(patience, "TICK_S", 0.01)
    monkeypatch.setattr(patience, "_clocks", WeakKeyDictionary())


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every back-off be a hundredth of what it is."""
    monkeypatch.setattr(race, "BACK_OFF_S", race.BACK_OFF_S / 100)
    monkeypatch.setattr(race, "MOST_BACK_OFF_S", race.MOST_BACK_OFF_S / 100)

"""What an answer needs is made after the call upstream is under way, and once."""

import gevent
import pytest

from app.api.ahead import Ahead


def test_it_is_made_while_one_waits() -> None:
    """After what was started before the wait."""
    done: list[str] = []
    ahead = Ahead(lambda: done.append("made") or "it")
    call = gevent.spawn(done.append, "asked")
    call.join()
    gevent.sleep(0)
    assert done == ["asked", "made"]
    assert ahead.get() == "it"
    assert done == ["asked", "made"]


def test_it_is_made_at_once_where_nobody_waits() -> None:
    """And not again when one does."""
    done: list[str] = []
    assert Ahead(lambda: done.append("made") or "it").get() == "it"
    gevent.sleep(0.01)
    assert done == ["made"]


def test_who_asks_hears_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """The loop, which may have come first, goes on."""

    def fail() -> str:
        raise ValueError("no")

    ahead = Ahead(fail)
    gevent.sleep(0.01)
    assert "ValueError: no" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no"):
        ahead.get()

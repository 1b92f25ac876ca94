"""Names of tools and ids of calls fit Anthropic's pattern, and find their way back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.anthropic import names
from app.providers.anthropic.names import UniqueIds, fitting, originals

PATTERN = re.compile(r"[a-zA-Z0-9_-]{1,128}")


@pytest.mark.parametrize("name", ["a", "end_call", "transfer-to-number", "A1" * 64])
def test_a_name_that_fits_is_kept(name: str) -> None:
    """What Anthropic takes is not touched."""
    assert fitting(name) == name


@pytest.mark.parametrize("name", ["", " ", "end call", "a.b", "é", "a" * 129, "end_call\n", "📞", "a/b:c"])
def test_a_name_that_does_not_fit_is_marked(name: str) -> None:
    """Any other name is made to fit, the same way each time."""
    assert PATTERN.fullmatch(fitting(name))
    assert fitting(name) == fitting(name) != name


@given(st.lists(st.text(max_size=200), unique=True, max_size=20))
def test_different_names_stay_different(names: list[str]) -> None:
    """Two names never become one, and each finds its way back."""
    made = [fitting(name) for name in names]
    assert all(PATTERN.fullmatch(name) for name in made)
    assert len(set(made)) == len(names)
    back = originals(names)
    assert [back.get(name, name) for name in made] == names


def test_only_changed_names_are_kept_for_the_way_back() -> None:
    """The way back of a name that fits is the name itself."""
    assert list(originals(["a b", "ab"]).values()) == ["a b"]
    assert originals([]) == {}


def test_ids_of_one_conversation() -> None:
    """An id that a later turn uses again becomes another one, and its result follows it."""
    ids = UniqueIds()
    first = ids.of_call("call_0")
    assert (first, ids.of_result("call_0")) == ("call_0", "call_0")
    second = ids.of_call("call_0")
    assert second != first
    assert ids.of_result("call_0") == second
    assert ids.of_result("never called") == fitting("never called")


@given(st.lists(st.text("ab_2", max_size=4), max_size=30))
def test_ids_are_never_the_same(given_ids: list[str]) -> None:
    """Whatever ids a history has, each call has one of its own that fits."""
    ids = UniqueIds()
    made = [ids.of_call(each) for each in given_ids]
    assert len(set(made)) == len(made)
    assert all(PATTERN.fullmatch(each) for each in made)


def test_one_id_for_every_call_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation whose calls all have one id is looked at once, not once for each pair of them."""
    looked_at: list[str] = []
    monkeypatch.setattr(names, "fitting", lambda name: looked_at.append(name) or fitting(name))
    ids = UniqueIds()
    assert len({ids.of_call("a") for _ in range(500)}) == 500
    assert len(looked_at) < 1500

"""The answer cache in memory: what is in it, for how long, and its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from app.stores.memory_cache import OVERHEAD_BYTES, MemoryCache


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_it_keeps_for_its_time() -> None:
    """A value is there until its time is over, and what is put anew has its time anew."""
    clock = Clock()
    cache = MemoryCache(10, 10_000, clock)
    cache.put("a", b"1", 10.0)
    clock.now = 9.9
    assert cache.get("a") == b"1"
    cache.put("a", b"2", 10.0)
    clock.now = 19.8
    assert cache.get("a") == b"2"
    clock.now = 19.9
    assert cache.get("a") is None


def test_what_was_not_asked_for_goes_first() -> None:
    """Of too many entries those are forgotten that nobody has asked for the longest."""
    cache = MemoryCache(3, 10_000)
    for key in "abc":
        cache.put(key, key.encode(), 10.0)
    cache.get("a")
    cache.put("d", b"d", 10.0)
    assert [cache.get(key) for key in "abcd"] == [b"a", None, b"c", b"d"]


def test_its_bytes_are_bounded() -> None:
    """However few entries, they hold no more than they may; one that is too large is not kept and pushes out none."""
    cache = MemoryCache(100, 3 * (1001 + OVERHEAD_BYTES))
    for key in "abcd":
        cache.put(key, b"x" * 1000, 10.0)
    assert [cache.get(key) is not None for key in "abcd"] == [False, True, True, True]
    cache.put("e", b"x" * 5000, 10.0)
    assert [cache.get(key) is not None for key in "bcde"] == [True, True, True, False]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=300), st.floats(0.1, 5), st.floats(0, 3))),
    st.integers(1, 5),
    st.integers(0, 2000),
)
def test_whatever_is_put(puts: list[tuple[str, bytes, float, float]], most_entries: int, most_bytes: int) -> None:
    """The bounds hold after every step, and what is read is what was put last under that key."""
    clock = Clock()
    cache = MemoryCache(most_entries, most_bytes, clock)
    latest: dict[str, bytes] = {}
    for key, value, ttl_s, passes_s in puts:
        clock.now += passes_s
        cache.put(key, value, ttl_s)
        latest[key] = value
        there = {name: cache.get(name) for name in latest}
        assert all(found in (None, latest[name]) for name, found in there.items())
        held = {name: found for name, found in there.items() if found is not None}
        assert len(held) <= most_entries
        assert sum(len(name) + len(found) + OVERHEAD_BYTES for name, found in held.items()) <= most_bytes

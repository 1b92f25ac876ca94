"""What workers claim in a real Valkey. What they tell each other is tested with real workers: e2e/test_workers.py."""

from valkeys import RealValkey

from app.stores.fleet import ValkeyFleet
from app.stores.valkey import Valkey


def worker(valkey: RealValkey, name: str, version: str = "1") -> ValkeyFleet:
    """Be one of the workers."""
    fleet = ValkeyFleet(Valkey(valkey.url.replace("valkey", "redis")), version)
    fleet.name = name
    return fleet


def test_the_first_has_it(valkey: RealValkey) -> None:
    """Whoever claims a key first has it, and everybody is told who that is."""
    one, other = worker(valkey, "one"), worker(valkey, "other")
    assert [one.claim("a", 60), other.claim("a", 60), one.claim("a", 60)] == ["one"] * 3
    assert other.claim("b", 60) == "other"


def test_instead_of_one_that_is_gone(valkey: RealValkey) -> None:
    """A key is taken over from a worker that is gone, by one of those who ask alone."""
    one, other, third = worker(valkey, "one"), worker(valkey, "other"), worker(valkey, "third")
    one.claim("a", 60)
    assert other.claim("a", 60, instead_of="one") == "other"
    assert third.claim("a", 60, instead_of="one") == "other"


def test_it_does_not_last(valkey: RealValkey) -> None:
    """A claim has its time, and may be released before."""
    one, other = worker(valkey, "one"), worker(valkey, "other")
    one.claim("a", 60)
    assert 30_000 < valkey.client().pttl("glottis:1:a") <= 60_000
    valkey.client().delete("glottis:1:a")
    assert other.claim("a", 60) == "other"


def test_versions_do_not_meet(valkey: RealValkey) -> None:
    """Workers of different versions, as during a deploy, do not share."""
    assert worker(valkey, "one").claim("a", 60) == "one"
    assert worker(valkey, "other", version="2").claim("a", 60) == "other"


def test_nobody_hears(valkey: RealValkey) -> None:
    """Who tells something to a worker that is not there is told so."""
    fleet = worker(valkey, "one")
    assert not fleet.tell("nobody", b"hello")
    with valkey.client().pubsub() as heard:
        heard.subscribe("glottis:1:0:other")
        assert heard.get_message(timeout=5)
        assert fleet.tell("other", b"hello")
        message = heard.get_message(timeout=5)
        assert message is not None
        assert message["data"] == "hello"


def test_a_store_that_is_down(own_valkey: RealValkey) -> None:
    """Everybody has what they claim then, as if they were alone, and nobody hears."""
    one, other = worker(own_valkey, "one"), worker(own_valkey, "other")
    one.claim("a", 60)
    own_valkey.kill()
    assert other.claim("a", 60) == "other"
    assert not other.tell("one", b"hello")

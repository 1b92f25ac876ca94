"""The connection to a real Valkey: fast to give up, quiet about it, and back by itself."""

import logging
import time
from pathlib import Path

import gevent
import pytest
from certificates import needs_openssl, self_signed
from tls import secured
from valkeys import RealValkey

from app.domain.errors import StoreDown
from app.stores import valkey as store_module
from app.stores.valkey import Valkey


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PROBE_S", 0.02)


def store_at(valkey: RealValkey) -> Valkey:
    """Return the store at a Valkey."""
    return Valkey(valkey.url.replace("valkey:", "redis:"), timeout_s=10)


def wait_until_up(store: Valkey) -> None:
    """Wait until the store is used again."""
    with gevent.Timeout(10):
        while not store.is_up:
            gevent.sleep(0.01)


def test_what_is_written_is_read(valkey: RealValkey) -> None:
    """The work gets a client, and its result comes back."""
    store = store_at(valkey)
    store.run(lambda client: client.set("one", "1"))
    assert store.run(lambda client: client.get("one")) == b"1"
    assert (store.is_up, store.failures, store.ping()) == (True, 0, True)


def test_killed_and_back(
    own_valkey: RealValkey, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is down every call fails at once, the log is told once; it is used again when it is back."""
    monkeypatch.setattr(logging.getLogger("glottis"), "propagate", True)
    store = store_at(own_valkey)
    assert store.ping()
    own_valkey.kill()
    for _ in range(50):
        with pytest.raises(StoreDown):
            store.run(lambda client: client.get("one"))
    assert (store.is_up, store.failures, store.ping()) == (False, 50, False)
    own_valkey.start()
    wait_until_up(store)
    assert store.ping()
    assert [record.message for record in caplog.records if record.name == "glottis"] == ["store_down", "store_up"]


def test_a_silent_store_is_waited_for_once(own_valkey: RealValkey) -> None:
    """One turn pays the time-out; those that come after it pay nothing."""
    store = Valkey(own_valkey.url.replace("valkey:", "redis:"), timeout_s=0.5)
    assert store.ping()
    own_valkey.freeze()
    began_at = time.monotonic()
    for _ in range(100):
        assert not store.ping()
    assert time.monotonic() - began_at < 10  # 50 s if each paid
    own_valkey.thaw()
    wait_until_up(store)
    assert store.ping()


@needs_openssl
def test_certificates(valkey: RealValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS a certificate must be trusted, and be for that host, unless it is not to be verified."""
    certificate = self_signed(tmp_path, "IP:127.0.0.1")
    with secured(valkey.port, certificate) as port:
        assert Valkey(f"rediss://127.0.0.1:{port}", verify=False, timeout_s=10).ping()
        assert not Valkey(f"rediss://127.0.0.1:{port}", timeout_s=10).ping()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Valkey(f"rediss://127.0.0.1:{port}", timeout_s=10).ping()
        assert not Valkey(f"rediss://localhost:{port}").ping()

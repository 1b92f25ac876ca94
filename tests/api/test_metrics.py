"""GET /metrics: there for those who may ask, and told by one application or by all workers of a server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from api.client import chat, request
from flask import Flask
from gateway import KEY, ROOT, Gateway, clean_environment
from prometheus_client.parser import text_string_to_metric_families
from upstreams import OpenAIUpstream

from app.factory import create_app
from app.settings import Settings

METRICS_KEY = "prometheus-0123456789"
HERE, CLUSTER, ELSEWHERE = "127.0.0.1", "10.1.2.3", "203.0.113.9"

Make = Callable[..., Flask]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make an application with these variables."""

    def _make(**env: str) -> Flask:
        ours = clean_environment() | {"API_KEYS": f"tester:{KEY}", "OPENAI_API_KEY": "sk-not-used"} | env
        monkeypatch.setattr(os, "environ", ours)
        return create_app(Settings.load())

    return _make


def status(application: Flask, address: str, key: str | None = None, **headers: str) -> int:
    """Ask for the metrics from an address; return the answer's status."""
    sent = headers | ({"Authorization": f"Bearer {key}"} if key else {})
    client = application.test_client()
    return client.get("/metrics", headers=sent, environ_base={"REMOTE_ADDR": address}).status_code


def test_off_unless_asked_for(make: Make) -> None:
    """Nobody who has not asked for metrics has a page of them."""
    assert status(make(), HERE) == 404


def test_what_is_off_costs_nothing() -> None:
    """The library is loaded only where metrics are on."""
    code = "import sys; from wsgi import app; sys.exit(7 * ('prometheus_client' in sys.modules))"
    env = clean_environment() | {"API_KEYS": f"tester:{KEY}", "OPENAI_API_KEY": "sk-not-used"}
    for switch, code_of_exit in (("false", 0), ("true", 7)):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env | {"METRICS": switch}, timeout=60)
        assert done.returncode == code_of_exit


def test_this_machine_alone(make: Make) -> None:
    """Where nothing guards them, they are for this machine; none of API_KEYS helps, nor a name of a loopback."""
    application = make(METRICS="true")
    assert [status(application, address) for address in (HERE, "127.0.0.9", "::1", "::ffff:127.0.0.1")] == [200] * 4
    assert [status(application, address, KEY) for address in (CLUSTER, ELSEWHERE, "", "unix:", "localhost")] == [
        403
    ] * 5


def test_a_key(make: Make) -> None:
    """With a key they are for whoever sends it, and for nobody else, wherever they are."""
    application = make(METRICS_KEY=f"old-{METRICS_KEY},{METRICS_KEY}")
    assert status(application, ELSEWHERE, METRICS_KEY) == 200
    assert status(application, ELSEWHERE, f"old-{METRICS_KEY}") == 200
    assert [status(application, HERE, key) for key in (None, KEY, METRICS_KEY[:-1])] == [401] * 3


def test_networks(make: Make) -> None:
    """With networks they are for those who come from one of them."""
    application = make(METRICS_ALLOW="10.0.0.0/8,192.0.2.7")
    assert [status(application, address) for address in (CLUSTER, "192.0.2.7")] == [200] * 2
    assert [status(application, address) for address in (HERE, ELSEWHERE, "192.0.2.8")] == [403] * 3


def test_a_key_and_networks(make: Make) -> None:
    """Who sets both means both."""
    application = make(METRICS_KEY=METRICS_KEY, METRICS_ALLOW="10.0.0.0/8")
    assert status(application, CLUSTER, METRICS_KEY) == 200
    assert status(application, CLUSTER) == 401
    assert status(application, ELSEWHERE, METRICS_KEY) == 403


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_a_proxy_opens_nothing(make: Make, header: str) -> None:
    """A proxy on this machine does not make the whole world come from here; with the key it does not matter."""
    forwarded = {header: "127.0.0.1"}
    assert status(make(METRICS="true"), HERE, **forwarded) == 403
    assert status(make(METRICS_KEY=METRICS_KEY), HERE, METRICS_KEY, **forwarded) == 200


def test_a_trusted_proxy(make: Make) -> None:
    """Behind as many proxies as are trusted, an address is what the last of them says, limits or not."""
    application = make(METRICS_ALLOW="10.0.0.0/8", TRUSTED_HOPS="1")
    addresses = (CLUSTER, ELSEWHERE, f"{ELSEWHERE}, {CLUSTER}", f"{CLUSTER}, {ELSEWHERE}")
    assert [status(application, HERE, **{"X-Forwarded-For": each}) for each in addresses] == [200, 403] * 2


def test_an_application_by_itself(make: Make) -> None:
    """Without gunicorn's configuration there is one process, and it tells of itself, requests it refused among them."""
    client = make(METRICS="true").test_client()
    assert client.post("/v1/chat/completions", json={}).status_code == 401
    reply = client.get("/metrics")
    samples = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]
    found = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert found["glottis_requests_refused_total", "InvalidKey"] == 1
    assert found["glottis_workers",] == 1
    assert reply.content_type.startswith("text/plain")


def folder_of(gateway: Gateway) -> list[Path]:
    """Return the folders that a running server has made for its metrics."""
    places = (Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp")))
    return [path for place in places for path in place.glob(f"glottis-metrics-{gateway.process.pid}-*")]


def test_a_server_and_its_folder(openai_upstream: OpenAIUpstream) -> None:
    """A server keeps its figures where nobody else reads them, through a change of workers, and leaves nothing."""
    env = {"METRICS": "true", "OPENAI_API_KEY": openai_upstream.key, "OPENAI_BASE_URL": openai_upstream.base_url}
    with Gateway(env) as gateway:
        (folder,) = folder_of(gateway)
        assert folder.stat().st_mode & 0o077 == 0
        assert chat(gateway, "gpt-4.1").status == 200
        gateway.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while len({path.stem.split("_")[-1] for path in folder.glob("histogram_*.db")}) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # until the new worker has a file of its own
        assert chat(gateway, "gpt-4.1").status == 200
        text = request(gateway, "GET", "/metrics", headers={}).body.decode()
        assert 'glottis_turns_total{end="completed",route="other"} 2.0' in text
        assert 'glottis_attempts_total{outcome="answered",target="openai/gpt-4.1"} 2.0' in text
        assert folder_of(gateway) == [folder]
    assert not folder.exists()

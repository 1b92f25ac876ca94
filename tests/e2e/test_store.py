"""Many workers and one Valkey: limits are exact for all of them together, and a store that dies takes no turn along."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from api.client import chat
from certificates import needs_openssl, self_signed
from gateway import KEY, ROOT, Gateway, free_port
from tls import secured
from valkeys import RealValkey

CONFIG = """
[routes.free]
target = "function:my_agent:answer"
"""
ENV = {"OPENAI_API_KEY": "sk-unused", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "LOG_LEVEL": "warning"}
PATIENT = {"STORE_TIMEOUT_S": "10"}
"""Where it is not the point: a store that gets no processor time is not dead."""

LOAD = ROOT / "tests" / "e2e" / "store_load.py"

LIMIT, REQUESTS, WINDOW_S = 1000, 10_000, 60


def server(env: dict[str, str], folder: Path, workers: int) -> Gateway:
    """Return a server with so many workers."""
    port = free_port()
    bind = ["--bind", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "gunicorn", "--workers", str(workers), *bind, "wsgi:app"]
    return Gateway(ENV | env, config=CONFIG, folder=folder, command=command, port=port)


def load(requests: int, connections: int, *gateways: Gateway) -> "subprocess.Popen[str]":
    """Begin to ask the servers."""
    numbers = [requests, connections, *(gateway.port for gateway in gateways)]
    command = [sys.executable, str(LOAD), KEY, *map(str, numbers)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(asking: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait until all is answered; return the seconds it took, and how often each status came."""
    output, _ = asking.communicate(timeout=100)
    answer: dict[str, Any] = json.loads(output)
    return answer


@pytest.mark.timeout(150)
def test_a_limit_is_exact_over_workers_and_servers(valkey: RealValkey, tmp_path: Path) -> None:
    """Of ten thousand requests to two servers with four workers each, exactly the thousand that are allowed pass.

    The bound of the algorithm: as many as are allowed in any minute, up to the difference of the machines' clocks, of
    which there is none here.
    """
    env = PATIENT | {"VALKEY_URL": valkey.url, "LIMIT_REQUESTS_PER_MINUTE": str(LIMIT)}
    with server(env, tmp_path, 4) as one, server(env, tmp_path, 4) as other:
        answer = told(load(REQUESTS, 64, one, other))
        assert "store_down" not in one.output + other.output
    passed = answer["statuses"]["200"]
    assert answer["statuses"] == {"200": passed, "429": REQUESTS - passed}
    if answer["seconds"] < WINDOW_S:
        assert passed == LIMIT
    else:  # on a very busy machine
        assert LIMIT < passed <= LIMIT * math.ceil(answer["seconds"] / WINDOW_S)


@pytest.mark.timeout(150)
def test_a_store_that_dies_under_load_takes_no_turn_along(own_valkey: RealValkey, tmp_path: Path) -> None:
    """Killed, started, silent and back: every turn is answered, and the limits hold again afterwards."""
    limits = {"LIMIT_REQUESTS_PER_MINUTE": "1000000", "LIMIT_TOKENS_PER_MINUTE": "1000000000"}
    env = {"VALKEY_URL": own_valkey.url, "LIMIT_TURNS_AT_ONCE": "1000"} | limits
    with server(env, tmp_path, 2) as gateway:
        asking = load(0, 16, gateway)
        own_valkey.kill()
        gateway.events("store_down", 2, timeout_s=20)
        own_valkey.start()
        gateway.events("store_up", 2, timeout_s=20)
        own_valkey.freeze()
        gateway.events("store_down", 4, timeout_s=20)
        own_valkey.thaw()
        gateway.events("store_up", 4, timeout_s=20)
        answer = told(asking)
        assert any("x-ratelimit-limit-requests" in chat(gateway, "free").headers for _ in range(100))
    assert set(answer["statuses"]) == {"200"}
    assert answer["statuses"]["200"] > 100


@needs_openssl
def test_herokus_store_works_with_its_self_signed_certificate(valkey: RealValkey, tmp_path: Path) -> None:
    """On a dyno REDIS_URL is used though nobody has signed its certificate; anywhere else it is not trusted."""
    limit = PATIENT | {"LIMIT_REQUESTS_PER_MINUTE": "1", "WEB_CONCURRENCY": "1"}
    with secured(valkey.port, self_signed(tmp_path, "DNS:redis.example")) as port:
        url = {"REDIS_URL": f"rediss://127.0.0.1:{port}"}
        with server(url | limit | {"DYNO": "web.1"}, tmp_path, 1) as gateway:
            assert [chat(gateway, "free").status for _ in range(2)] == [200, 429]
        with server(url | limit, tmp_path, 1) as gateway:
            assert [chat(gateway, "free").status for _ in range(2)] == [200, 200]
            assert "CERTIFICATE_VERIFY_FAILED" in gateway.events("store_down")[0]["detail"]

"""What every test may use: scripted upstreams, and the gateway in front of them. Only loopback can be reached."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway
from postgres import Postgres
from upstreams import AnthropicUpstream, OpenAIUpstream
from valkeys import RealValkey, running_valkey

TESTS = Path(__file__).parent

sys.setswitchinterval(0.001)
"""Upstreams are threads of this process: one that has an answer to send waits so long for each of the busy others."""

LOOPBACK = ("127.", "::1", "localhost")

ALONE = (
    *("api/test_disconnect.py", "api/test_heavy.py", "api/test_slow.py", "e2e/test_*.py", "engine/test_*.py"),
    *("faults/test_*.py", "local/test_*.py", "records/test_outage.py", "telemetry/test_traces.py"),
    *("upstreams/test_upstreams.py",),
)
"""What looks at times, or loads the machine: nothing else may run beside it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be of one half of the tests."""
    parser.addoption(
        "--half", choices=["alone", "together"], help="run what must run ALONE, or what may run in parallel"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the other half out: to import it would take seconds."""
    half = config.getoption("half")
    if half is None or collection_path.suffix != ".py":
        return None
    place = collection_path.relative_to(TESTS)
    is_alone = any(place.match(each) for each in ALONE)
    return True if is_alone != (half == "alone") else None


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    """Refuse to connect anywhere else."""
    connect = socket.socket.connect

    def guarded(sock: socket.socket, address: Any) -> None:
        if sock.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test reached for {address}")
        connect(sock, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def openai_upstream() -> Iterator[OpenAIUpstream]:
    """OpenAI, scripted and strict."""
    with OpenAIUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def anthropic_upstream() -> Iterator[AnthropicUpstream]:
    """Anthropic, scripted and strict."""
    with AnthropicUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def vendor_upstream() -> Iterator[OpenAIUpstream]:
    """A server that speaks OpenAI's API, as a row of data."""
    with OpenAIUpstream(key="sk-vendor", strict=False) as upstream:
        yield upstream


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[RealValkey]:
    """One Valkey for all tests that leave it running."""
    with running_valkey() as running:
        yield running


@pytest.fixture
def valkey(shared_valkey: RealValkey) -> RealValkey:
    """A Valkey with nothing in it."""
    shared_valkey.client().flushall()
    return shared_valkey


@pytest.fixture
def own_valkey() -> Iterator[RealValkey]:
    """A Valkey of the test's own, to be killed and started at will."""
    with running_valkey() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real Postgres, for all tests; each takes a database of its own."""
    with Postgres() as server:
        yield server


CONFIG = """
[defaults.budget]
connect_s = 2.0
idle_s = 2.0

[providers.vendor]
kind = "openai"
base_url = "{vendor_url}"
api_key_env = "VENDOR_KEY"

[providers.down]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"

[routes.receptionist]
targets = ["anthropic/claude-haiku-4-5", "openai/gpt-4.1-mini"]
temperature = 0.6
max_tokens = 77

[routes.fallback]
targets = ["down/any", "openai/gpt-fallback", "anthropic/claude-fallback"]

[routes.hearing]
targets = ["anthropic/claude-haiku-4-5", "openai/gpt-4.1"]

[routes.thinking]
target = "anthropic/claude-thinking"
reasoning_content = true
prompt_caching = false

[routes.kept]
target = "openai/gpt-4o-kept"
cache_ttl_s = 60

[routes.unreachable]
target = "down/any"

[routes.unconfigured]
target = "unkeyed/any"

[providers.unkeyed]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "UNKEYED_KEY"
""" + "".join(
    f'\n[routes.function-{name}]\ntarget = "function:my_agent:{name}"\n'
    for name in ("answer", "whole", "events", "failing", "odd", "forever", "half", "unnamed")
)


@pytest.fixture(scope="session")
def gateway(
    openai_upstream: OpenAIUpstream,
    anthropic_upstream: AnthropicUpstream,
    vendor_upstream: OpenAIUpstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """Glottis with every kind of provider, one worker."""
    env = {
        "OPENAI_API_KEY": openai_upstream.key,
        "OPENAI_BASE_URL": openai_upstream.base_url,
        "ANTHROPIC_API_KEY": anthropic_upstream.key,
        "ANTHROPIC_BASE_URL": anthropic_upstream.base_url,
        "VENDOR_KEY": vendor_upstream.key,
    }
    folder: Path = tmp_path_factory.mktemp("gateway")
    with Gateway(env, config=CONFIG.format(vendor_url=vendor_upstream.base_url), folder=folder) as running:
        yield running

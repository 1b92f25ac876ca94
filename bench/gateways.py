"""What is measured, one row each: whether it is installed, how it is started with one worker, how it is asked."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import peers
from bench.requests import KEY

ROOT = Path(__file__).parents[1]
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"


@dataclass(frozen=True)
class Place:
    """Where a gateway runs: its port, its upstream's, and a folder for its files."""

    port: int
    upstream: int
    folder: Path


@dataclass(frozen=True)
class Gateway:
    """A row. `version` returns None if it is not installed; `command` None stands for the upstream itself."""

    name: str
    version: Callable[[], str | None]
    command: Callable[[Place], list[str]] | None = None
    environment: Callable[[Place], dict[str, str]] = lambda _: {}
    health: str = "/health"
    claude_path: str = CHAT
    is_peer: bool = False
    headers: Callable[[int, str], Mapping[str, str]] = lambda *_: {}
    cwd: Callable[[Place], Path] = field(default=lambda place: place.folder)


def _gunicorn(place: Place, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{place.port}", "--workers", "1", *arguments]


def _packages(*names: str) -> str:
    code = "import sys,importlib.metadata as m;print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=True
    ).stdout.strip()


# Glottis, as `gunicorn wsgi:app` serves it; its log goes to a file.


def _glottis_version() -> str:
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return f"{described.stdout.strip() or 'unknown'} on {_packages('gunicorn', 'gevent', 'flask')}"


def _glottis(place: Place) -> list[str]:
    return _gunicorn(place, "wsgi:app")


def _glottis_environment(place: Place) -> dict[str, str]:
    (place.folder / "glottis.toml").write_text("")
    return {
        "API_KEYS": f"bench:{KEY}",
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{place.upstream}/v1",
        "ANTHROPIC_API_KEY": "sk-ant-bench",
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{place.upstream}",
        "GLOTTIS_CONFIG": str(place.folder / "glottis.toml"),
        "GLOTTIS_DOTENV": str(place.folder / "none.env"),
    }


# The yardstick: bench/bare.py.


def _bare(place: Place) -> list[str]:
    arguments = ["--worker-class", "gevent", "--worker-connections", "4096", "--keep-alive", "20"]
    return _gunicorn(place, *arguments, "--log-level", "warning", "--pythonpath", str(ROOT), "bench.bare:app")


# LiteLLM's proxy.


def _litellm_version() -> str | None:
    program = peers.FOLDER / "litellm" / "bin" / "litellm"
    return peers.LITELLM if program.exists() else None


def _litellm(place: Place) -> list[str]:
    models = [
        ("gpt-*", "openai/gpt-*", f"http://127.0.0.1:{place.upstream}/v1"),
        ("claude-*", "anthropic/claude-*", f"http://127.0.0.1:{place.upstream}"),
    ]
    rows = [
        {"model_name": name, "litellm_params": {"model": model, "api_base": base, "api_key": "sk-bench"}}
        for name, model, base in models
    ]
    config = {"model_list": rows, "general_settings": {"master_key": KEY}}
    (place.folder / "litellm.yaml").write_text(json.dumps(config))  # JSON is YAML
    program = str(peers.FOLDER / "litellm" / "bin" / "litellm")
    where = ["--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]
    return [program, "--config", str(place.folder / "litellm.yaml"), *where]


def _litellm_environment(_: Place) -> dict[str, str]:
    # Nothing is to be fetched from elsewhere, and nothing told.
    return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}


# Portkey's gateway.

_PORTKEY = peers.FOLDER / "portkey" / "node_modules" / "@portkey-ai" / "gateway"


def _portkey_version() -> str | None:
    node = shutil.which("node")
    if not node or not (_PORTKEY / "package.json").exists():
        return None
    version = json.loads((_PORTKEY / "package.json").read_text())["version"]
    return f"{version} on node {subprocess.run([node, '--version'], capture_output=True, text=True).stdout.strip()}"


def _portkey(place: Place) -> list[str]:
    return ["node", str(_PORTKEY / "build" / "start-server.js"), f"--port={place.port}", "--headless"]


def _portkey_headers(upstream: int, family: str) -> dict[str, str]:
    provider = {"gpt": "openai", "claude": "anthropic"}[family]
    return {"x-portkey-provider": provider, "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}


UPSTREAM = Gateway("the upstream itself", lambda: "bench/upstream.c", claude_path=MESSAGES)
BARE = Gateway(
    "bare Flask relay",
    lambda: f"bench/bare.py on {_packages('gunicorn', 'gevent', 'flask')}",
    _bare,
    lambda place: {"UPSTREAM": f"127.0.0.1:{place.upstream}"},
    claude_path=MESSAGES,
)
GLOTTIS = Gateway("Glottis", _glottis_version, _glottis, _glottis_environment, cwd=lambda _: ROOT)
LITELLM = Gateway("LiteLLM proxy", _litellm_version, _litellm, _litellm_environment, "/health/liveliness", is_peer=True)
PORTKEY = Gateway("Portkey gateway", _portkey_version, _portkey, health="/", headers=_portkey_headers, is_peer=True)

GATEWAYS = (GLOTTIS, BARE, UPSTREAM, LITELLM, PORTKEY)

WITHHELD = ("API_KEYS", "DYNO", "PORT", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "HEARTBEAT_S", "MAX_TOKENS_LIMIT")


def environment(gateway: Gateway, place: Place) -> dict[str, str]:
    """Return the environment that a gateway runs in: this one, without what would change how it serves."""
    kept = {name: value for name, value in os.environ.items() if name not in WITHHELD and "proxy" not in name.lower()}
    return kept | gateway.environment(place)

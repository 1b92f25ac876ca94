"""The gateway as its users run it: real gunicorn in a process of its own, with its log at hand."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
"""Where the environment's own commands are, gunicorn among them."""

KEY = "tester-key-0123456789"
START_S = 40.0


class Gateway:
    """Glottis on a loopback port. `lines` is its standard output, parsed where it is JSON."""

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        *,
        config: str | None = None,
        folder: Path | None = None,
        command: Sequence[str] | None = None,
        port: int | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[Any] = []
        self._news = threading.Condition()
        self._cwd = cwd
        self._command = command or [
            sys.executable, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{self.port}", "wsgi:app",
        ]  # fmt: skip
        self._env = clean_environment() | {"API_KEYS": f"tester:{KEY}"} | dict(env or {})
        if config is not None:
            assert folder is not None
            path = folder / "glottis.toml"
            path.write_text(config)
            self._env["GLOTTIS_CONFIG"] = str(path)

    def __enter__(self) -> "Gateway":
        self.process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self._env | {"PORT": str(self.port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._wait_until_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def turns(self, count: int = 1, timeout_s: float = 5.0, **fields: Any) -> list[dict[str, Any]]:
        """Wait until at least `count` lines of turns with these fields are in the log; return them."""
        return self.events("turn", count, timeout_s, **fields)

    def events(self, event: str, count: int = 1, timeout_s: float = 5.0, **fields: Any) -> list[dict[str, Any]]:
        """Wait for lines of one event, likewise."""

        def matching() -> list[dict[str, Any]]:
            wanted = {"event": event} | fields
            return [line for line in self.lines if isinstance(line, dict) and wanted.items() <= _flat(line).items()]

        with self._news:
            if not self._news.wait_for(lambda: len(matching()) >= count, timeout_s):
                raise AssertionError(f"no {count} lines {fields} among {self.lines[-20:]}")
            return matching()

    def wait_for(self, text: str, timeout_s: float = 5.0) -> None:
        """Wait until it has printed this."""
        with self._news:
            if not self._news.wait_for(lambda: text in self.output, timeout_s):
                raise AssertionError(f"no {text!r} among {self.lines[-20:]}")

    @property
    def output(self) -> str:
        """Everything it has printed."""
        return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            text = raw.decode(errors="replace").rstrip("\n")
            line: Any = text
            with contextlib.suppress(ValueError):
                line = json.loads(text)
            with self._news:
                self.lines.append(line)
                self._news.notify_all()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        self.__exit__(None, None, None)
        raise AssertionError(f"the gateway did not come up:\n{self.output}")


def clean_environment() -> dict[str, str]:
    """Return the environment without what could change how Glottis runs: keys, settings, a developer's .env."""
    own = ("OPENAI_", "ANTHROPIC_", "GLOTTIS_", "API_KEYS", "ALLOW_ANONYMOUS", "GUNICORN_", "WEB_CONCURRENCY", "DYNO")
    own += ("VALKEY_URL", "REDIS_URL", "STORE_", "LIMIT_", "TRUSTED_HOPS", "OTEL_", "RECORD", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {"GLOTTIS_DOTENV": os.devnull, "PYTHONPATH": str(ROOT / "tests" / "functions")}


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if not isinstance(value, dict | list)}

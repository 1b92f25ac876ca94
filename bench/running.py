"""A gateway's process: start it, wait until it is healthy, end it."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from bench.gateways import Gateway, Place, environment
from bench.native import Upstream
from bench.ports import free_port

LONGEST_START_S = 120


class NotHealthyError(Exception):
    """It did not start; the message is the end of its log."""


class Running:
    """A gateway that serves. `pid` is the root of its tree, `cold_s` what it took from nothing to healthy."""

    def __init__(self, gateway: Gateway, upstream: Upstream, folder: Path) -> None:
        self.gateway = gateway
        self.cold_s: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if gateway.command is None:
            self.pid, self.port = upstream.process.pid, upstream.port
            return
        self.port = free_port()
        place = Place(self.port, upstream.port, folder)
        self._log = folder / "gateway.log"
        with self._log.open("wb") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                gateway.command(place),
                env=environment(gateway, place),
                cwd=gateway.cwd(place),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self._until_healthy()
        except NotHealthyError:
            self.close()
            raise
        self.cold_s = time.monotonic() - began

    def _until_healthy(self) -> None:
        url = f"http://127.0.0.1:{self.port}{self.gateway.health}"
        deadline = time.monotonic() + LONGEST_START_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.005)
        raise NotHealthyError(self._log.read_text(errors="replace")[-1500:])

    def close(self) -> None:
        """End it; a tree that does not end within 10 s is killed."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

"""Ten minutes of 200 conversations with every fault and many hang-ups; at the end nothing may be left over.

    make soak                       # 10 minutes
    make soak SOAK_S=60             # shorter

It prints what the worker holds before, during and after, and fails if greenlets, sockets, open turns or upstream calls
are left, if memory grew, if an answer broke off untold, or if a turn with a good fallback was not answered. Some turns
are asked twice at once, as a platform that retries does.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from faults.caller import body_of, headers_of, new_mark
from faults.provider import FaultyProvider, Unanswering
from faults.routes import SPECIAL, config, environment
from faults.table import FAULTS
from faults.test_faults import ANSWERED
from faults.wires import WIRES
from gateway import Gateway

CONVERSATIONS = 200
COPIES = 0.1
"""The share of turns that are asked twice at once."""

THINK_S = 6.0
"""Between two turns of a conversation, on average."""

HANG_UPS = 0.25
"""The share of turns whose caller barges in, at a random moment."""

SETTLE_S = 8.0
"""Longer than a finished answer is kept for a retry, and than the longest budget of the routes."""

WARM_UP_S = 90.0
"""Until memory has found its height: the allocator keeps what the busiest moment needed."""

MOST_GROWTH_MB = 15.0

NOT_HERE = ("endless", "flood", "flood-of-thoughts")
"""They keep both cores busy for themselves."""
HERE = Path(__file__).parent


class Soak:
    """The conversations, and what became of their turns."""

    def __init__(self, gateway: Gateway, seconds: float) -> None:
        self.gateway = gateway
        self.until = time.monotonic() + seconds
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.answerable: set[str] = set()
        self.routes = [name for name in SPECIAL if not name.startswith(("gone", "storm", "unanswering", "flood"))]
        for wire in WIRES:
            for fault in FAULTS:
                if fault in ANSWERED:
                    self.answerable.add(f"{wire}-{fault}")
                if fault not in NOT_HERE:
                    self.routes += [f"one-{wire}-{fault}", f"{wire}-{fault}", f"sorry-{wire}-{fault}"]

    def converse(self, seed: int) -> None:
        """Take turns until the time is up."""
        dice = random.Random(seed)
        time.sleep(dice.uniform(0, THINK_S))
        while time.monotonic() < self.until:
            outcome = self._turn(dice)
            with self._lock:
                self.seen[outcome] += 1
            time.sleep(min(dice.expovariate(1 / THINK_S), 3 * THINK_S))

    def _turn(self, dice: random.Random) -> str:
        route, mark, stream = dice.choice(self.routes), new_mark("soak"), dice.random() < 0.8
        copy = threading.Thread(target=self._asked, args=(route, mark, stream, dice.uniform(0.001, 1.5)))
        if dice.random() < COPIES:
            copy.start()
        outcome = self._asked(route, mark, stream, dice.uniform(0.001, 1.5) if dice.random() < HANG_UPS else None)
        if copy.ident is not None:
            copy.join()
        if outcome not in ("answered", "hung up") and route in self.answerable:
            return f"failed: {route} {outcome}"
        return outcome

    def _asked(self, route: str, mark: str, stream: bool, patience_s: float | None) -> str:
        """Ask, and listen to the end, or for so long."""
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        try:
            connection.request("POST", "/v1/chat/completions", body_of(route, mark, stream=stream), headers_of(mark))
            if patience_s is not None:
                connection.sock.settimeout(patience_s)
                with contextlib.suppress(TimeoutError):
                    while connection.sock.recv(1024):
                        pass
                return "hung up"
            response = connection.getresponse()
            body = response.read()
        except OSError as error:
            return f"failed: {type(error).__name__}"
        finally:
            connection.close()
        return _outcome(response.status, body, stream=stream)


def _outcome(status: int, body: bytes, *, stream: bool) -> str:
    if status != 200:
        return f"status {status}" if b'"error"' in body else "failed: an error without its shape"
    if not stream or body.endswith(b"data: [DONE]\n\n"):
        return "answered"
    return "broken off, told" if b'"error"' in body else "failed: broken off, untold"


class Worker:
    """The one worker of the gateway, which writes its figures when it is asked."""

    def __init__(self, gateway: Gateway, figures: Path) -> None:
        children = subprocess.run(["pgrep", "-P", str(gateway.process.pid)], capture_output=True, text=True, check=True)
        self.pid = int(children.stdout.split()[0])
        self._figures = figures

    def figures(self) -> dict[str, float]:
        """Ask for the figures."""
        self._figures.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR2)
        deadline = time.monotonic() + 10
        while not self._figures.exists():
            if time.monotonic() > deadline:
                raise SystemExit("the worker does not answer")
            time.sleep(0.05)
        found: dict[str, float] = json.loads(self._figures.read_text())
        return found


def main(seconds: float) -> int:
    """Run the soak for so many seconds; returns the exit status."""
    with tempfile.TemporaryDirectory() as name, FaultyProvider() as provider, Unanswering() as unanswering:
        folder = Path(name)
        figures = folder / "figures.json"
        command = [
            sys.executable, "-m", "gunicorn", "--config", str(HERE / "serving.py"), "--workers", "1", "wsgi:app",
        ]  # fmt: skip
        env = environment(provider) | {"SOAK_FIGURES": str(figures), "LOG_LEVEL": "error"}
        with Gateway(env, config=config(f"{unanswering.url}/v1"), folder=folder, command=command) as gateway:
            worker = Worker(gateway, figures)
            _run(Soak(gateway, min(WARM_UP_S, seconds / 2)), worker)  # whose counting takes memory too, once
            time.sleep(SETTLE_S)
            before = worker.figures()
            _tell("before", before)
            soak = Soak(gateway, seconds)
            _run(soak, worker)
            time.sleep(SETTLE_S)
            after = worker.figures()
            _tell("after", after)
            upstream = provider.openai.open_streams + provider.anthropic.open_streams
            print(f"turns: {dict(soak.seen.most_common())}; upstream calls left: {upstream}")
            wrong = _wrong(before, after, upstream, soak.seen)
    print("\n".join(wrong) or "nothing is left over")
    return 1 if wrong else 0


def _run(soak: Soak, worker: Worker | None = None) -> None:
    threads = [threading.Thread(target=soak.converse, args=(seed,), daemon=True) for seed in range(CONVERSATIONS)]
    for thread in threads:
        thread.start()
    while worker is not None and (left := soak.until - time.monotonic()) > 0:
        time.sleep(min(60.0, left))
        _tell(f"{max(0, round(soak.until - time.monotonic()))} s left", worker.figures())
    for thread in threads:
        thread.join()


def _tell(moment: str, figures: dict[str, float]) -> None:
    print(f"{moment}: " + ", ".join(f"{name} {value:g}" for name, value in figures.items()), flush=True)


def _wrong(before: dict[str, float], after: dict[str, float], upstream: int, seen: Counter[str]) -> list[str]:
    wrong = [f"{count} turns {outcome}" for outcome, count in seen.items() if outcome.startswith("failed")]
    if upstream or after["open_turns"]:
        wrong.append("turns or upstream calls are left")
    # Connections that are kept for the next turns come and go within their bounds.
    grown = [name for name in ("greenlets", "sockets") if after[name] > before[name] + 10]
    wrong += [f"{name} are left: {before[name]:g}, then {after[name]:g}" for name in grown]
    if after["rss_mb"] > before["rss_mb"] + MOST_GROWTH_MB:
        wrong.append(f"memory grew by {after['rss_mb'] - before['rss_mb']:.0f} MB")
    return wrong


if __name__ == "__main__":
    sys.exit(main(float(os.environ.get("SOAK_S") or 600)))

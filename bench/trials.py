"""The trials: each puts one kind of load on a gateway and returns figures, by the keys of figures.py."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench import requests
from bench.gateways import CHAT
from bench.measure import cpu_s, kernel_share, memory_kb
from bench.native import Load, Upstream
from bench.running import Running

Figures = dict[str, float | None]

AT_ONCE = 50
CHUNKS = 100
GAP_MS = 20
FIRST_MS = 20
WHOLE_CHUNKS = 16


@dataclass(frozen=True)
class Effort:
    """How much of everything is done in one round."""

    rounds: int = 5
    peer_rounds: int = 2
    turns: int = 150
    requests: int = 2000
    pairs: int = 100
    hang_ups: int = 15
    held: int = 1000
    many: tuple[int, ...] = (1000, 2000)


QUICK = Effort(rounds=1, turns=100, requests=500, pairs=30, hang_ups=5, held=300, many=(1000,))


@dataclass
class Stage:
    """A gateway that runs, its upstream, and the load client; `faults` collects what went wrong."""

    running: Running
    upstream: Upstream
    load: Load
    effort: Effort
    faults: list[str] = field(default_factory=list)

    def target(self, model: str, **options: Any) -> tuple[int, bytes]:
        """Return the port and the request that ask the gateway for a model."""
        gateway = self.running.gateway
        family = model.partition("-")[0]
        path = gateway.claude_path if family == "claude" else CHAT
        content = requests.body(model, **options)
        return self.running.port, requests.request(path, content, dict(gateway.headers(self.upstream.port, family)))

    def note(self, trial: str, result: dict[str, Any]) -> None:
        """Keep it for the report if an answer was not whole."""
        missing = result["total"] - result["whole"]
        if missing:
            why = ", ".join(f"{count} {name}" for name, count in result["failures"].items())
            self.faults.append(
                f"{trial}: {missing} of {result['total']} not complete ({why}) {result['complaint']}".strip()
            )

    def cost_ms(self, trial: str, *targets: tuple[int, bytes], **load: int) -> tuple[float | None, dict[str, Any]]:
        """Return the CPU of the gateway's tree for each answer that was whole, and what the client saw."""
        before = cpu_s(self.running.pid)
        result = self.load.run(*targets, **load)
        time.sleep(0.1)  # for what is still to be done after the last byte
        used = cpu_s(self.running.pid) - before
        self.note(trial, result)
        return (1000 * used / result["whole"] if result["whole"] else None), result


def run_all(stage: Stage) -> Figures:
    """Run every trial; memory comes first, while the process is young."""
    figures = {"cold_s": stage.running.cold_s}
    warm_up(stage)
    for trial in (memory, turn, turn_spread, claude, request, first_chunk, hang_up, many):
        figures |= trial(stage)
    return figures


def warm_up(stage: Stage) -> None:
    """Have a few turns of each kind, so that nothing is done for the first time later."""
    for family in ("gpt", "claude"):
        for stream in (True, False):
            target = stage.target(requests.model(family, 8, 1, 0), stream=stream)
            stage.note(f"warm-up, {family}", stage.load.run(target, total=30, at_once=8, chunks=8))


def memory(stage: Stage) -> Figures:
    """Idle, and by how much it grows with open streams that say something now and then."""
    time.sleep(0.5)
    idle = memory_kb(stage.running.pid)
    with held(stage, stage.effort.held) as streams:
        time.sleep(1.0)
        full = memory_kb(stage.running.pid)
    figures: Figures = {"idle_mb": idle["pss"] / 1024, "idle_rss_mb": idle["largest"] / 1024}
    if streams < stage.effort.held:
        stage.faults.append(f"memory: only {streams} of {stage.effort.held} streams were open at once")
    if streams and stage.running.gateway.command:
        figures["stream_kb"] = (full["rss"] - idle["rss"]) / streams
        figures["stream_pss_kb"] = (full["pss"] - idle["pss"]) / streams
    return figures


@contextmanager
def held(stage: Stage, streams: int) -> Iterator[int]:
    """Hold so many streams open, then hang up on all, and wait until the upstream has seen it."""
    target = stage.target(requests.model("gpt", 80, 500, FIRST_MS))
    holding = stage.load.hold(target, total=streams, at_once=streams, ramp_ms=1000, timeout_s=60)
    try:
        yield holding.streams
    finally:
        holding.close()
        deadline = time.monotonic() + 45
        while stage.upstream.stats()["open"] and time.monotonic() < deadline:
            time.sleep(0.05)


def turn(stage: Stage) -> Figures:
    """50 callers at once, who begin in the same moment."""
    model = requests.model("gpt", CHUNKS, GAP_MS, FIRST_MS)
    kernel, used = kernel_share(stage.running.pid)
    cost, seen = stage.cost_ms("turn", stage.target(model), total=stage.effort.turns, at_once=AT_ONCE, chunks=CHUNKS)
    kernel_after, used_after = kernel_share(stage.running.pid)
    kernel_pct = 100 * (kernel_after - kernel) / max(used_after - used, 1e-9)
    jitter = seen["jitter_us"]
    return {
        "turn_ms": cost,
        "kernel_pct": kernel_pct,
        "jitter_p50_ms": _ms(jitter["p50"]),
        "jitter_p99_ms": _ms(jitter["p99"]),
    }


def turn_spread(stage: Stage) -> Figures:
    """The same, but each begins 40.4 ms after the one before, so that their chunks never come together."""
    model = requests.model("gpt", CHUNKS, GAP_MS, FIRST_MS)
    load = {"total": stage.effort.turns, "at_once": AT_ONCE, "chunks": CHUNKS, "ramp_ms": 2020}
    return {"spread_ms": stage.cost_ms("turn, spread", stage.target(model), **load)[0]}


def claude(stage: Stage) -> Figures:
    """The same as turn, from Anthropic."""
    model = requests.model("claude", CHUNKS, GAP_MS, FIRST_MS)
    load = {"total": stage.effort.turns, "at_once": AT_ONCE, "chunks": CHUNKS}
    return {"claude_ms": stage.cost_ms("claude", stage.target(model), **load)[0]}


def request(stage: Stage) -> Figures:
    """Not streamed, 16 at a time. A gateway may ask its upstream for a stream all the same."""
    target = stage.target(requests.model("gpt", WHOLE_CHUNKS, 0, 0), stream=False)
    load = {"total": stage.effort.requests, "at_once": 16, "chunks": WHOLE_CHUNKS, "timeout_s": 120}
    return {"request_ms": stage.cost_ms("request", target, **load)[0]}


def first_chunk(stage: Stage) -> Figures:
    """One at a time, in turn at the upstream itself and through the gateway: what the gateway adds."""
    model = requests.model("gpt", 4, 2, FIRST_MS)
    direct = stage.upstream.port, requests.request(CHAT, requests.body(model), {})
    result = stage.load.run(direct, stage.target(model), total=2 * stage.effort.pairs, chunks=4)
    stage.note("first chunk", result)
    # The client's order is direct, through, through, direct: see load.c.
    firsts = [result["first_us"][place : place + 2] for place in range(0, 2 * stage.effort.pairs, 2)]
    pairs = [pair[::-1] if place % 2 else pair for place, pair in enumerate(firsts)]
    added = sorted(through - direct for direct, through in pairs if min(direct, through) >= 0)
    if not added:
        return {}
    return {
        "first_p50_ms": statistics.median(added) / 1000,
        "first_p99_ms": added[len(added) - 1 - len(added) // 100] / 1000,
    }


def hang_up(stage: Stage) -> Figures:
    """A caller leaves after five chunks: when the upstream sees its connection closed."""
    target = stage.target(requests.model("gpt", 200, GAP_MS, FIRST_MS))
    stage.upstream.stats()
    load = {"total": stage.effort.hang_ups, "hang_up_after": 5, "pause_ms": 500, "chunks": 200}
    left = stage.load.run(target, **load)["hung_up_us"]
    time.sleep(0.5)
    seen = stage.upstream.stats()["left_us"]
    until = [*left[1:], float("inf")]
    waits = [
        min((at - gone for at in seen if gone <= at < end), default=None) for gone, end in zip(left, until, strict=True)
    ]
    known = [wait for wait in waits if wait is not None]
    if len(known) < len(waits):
        stage.faults.append(f"hang-up: {len(waits) - len(known)} of {len(waits)} not passed on within 0.5 s")
    if not known:
        return {}
    return {"hang_up_p50_ms": _ms(statistics.median(known)), "hang_up_max_ms": _ms(max(known))}


def many(stage: Stage) -> Figures:
    """More streams than a worker should have, arriving within a second."""
    figures: Figures = {}
    target = stage.target(requests.model("gpt", CHUNKS, GAP_MS, FIRST_MS))
    for streams in stage.effort.many:
        load = {"total": streams, "at_once": streams, "ramp_ms": 1000, "chunks": CHUNKS, "timeout_s": 60}
        result = stage.load.run(target, **load)
        stage.note(f"{streams} streams", result)
        figures[f"whole_{streams}"] = 100 * result["whole"] / streams
        figures[f"lag_{streams}_ms"] = _ms(result["lag_us"]["p99"])
    return figures


def _ms(us: float) -> float | None:
    """Return microseconds as milliseconds; the client says -1 where nothing came."""
    return us / 1000 if us >= 0 else None

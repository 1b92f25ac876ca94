"""How the cost of a turn grows: with chunks, messages, tools and concurrency."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import requests
from bench.trials import AT_ONCE, CHUNKS, FIRST_MS, GAP_MS, Stage

SHORT = 4
"""Chunks of an answer where the request is what costs."""


@dataclass(frozen=True)
class Series:
    """One of the four; `cost` returns the CPU of a turn in ms."""

    key: str
    title: str
    points: tuple[int, ...]
    cost: Callable[[Stage, int], float | None]


def chunks(stage: Stage, count: int) -> float | None:
    target = stage.target(requests.model("gpt", count, GAP_MS, FIRST_MS))
    return stage.cost_ms(f"{count} chunks", target, total=AT_ONCE, at_once=AT_ONCE, chunks=count)[0]


def messages(stage: Stage, count: int) -> float | None:
    target = stage.target(requests.model("gpt", SHORT, 2, 0), message_count=count)
    return stage.cost_ms(f"{count} messages", target, total=300, at_once=16, chunks=SHORT)[0]


def tools(stage: Stage, count: int) -> float | None:
    target = stage.target(requests.model("gpt", SHORT, 2, 0), tool_count=count)
    return stage.cost_ms(f"{count} tools", target, total=300, at_once=16, chunks=SHORT)[0]


def concurrency(stage: Stage, count: int) -> float | None:
    target = stage.target(requests.model("gpt", CHUNKS, GAP_MS, FIRST_MS))
    load = {"total": max(count, 6), "at_once": count, "ramp_ms": min(count, 1000), "chunks": CHUNKS, "timeout_s": 120}
    return stage.cost_ms(f"{count} at once", target, **load)[0]


SERIES = (
    Series("chunks", "chunks in the answer", (25, 100, 400), chunks),
    Series("messages", f"messages in the request, answers of {SHORT} chunks", (1, 11, 51, 201), messages),
    Series("tools", f"tools in the request, answers of {SHORT} chunks", (0, 3, 20), tools),
    Series("concurrency", f"turns at once, of {CHUNKS} chunks each", (1, 50, 200, 1000), concurrency),
)


def run_all(stage: Stage) -> dict[str, dict[str, float | None]]:
    """Measure all series once; returns the costs by series and point."""
    return {series.key: {str(point): series.cost(stage, point) for point in series.points} for series in SERIES}

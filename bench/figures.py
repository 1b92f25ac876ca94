"""The figures: what each is called, what the project demands of Glottis, and how samples become one number."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A row of data. CPU is told by its least disturbed sample, everything else by the median."""

    key: str
    title: str
    unit: str
    must: float | None = None
    aim: float | None = None
    is_cpu: bool = False

    def best(self, samples: Sequence[float | None]) -> float | None:
        """Return the number to publish; None where a round gave none."""
        known = [sample for sample in samples if sample is not None]
        if not known:
            return None
        return min(known) if self.is_cpu else statistics.median(known)


COST = (
    Figure("turn_ms", "CPU per turn", "ms", 4.8, 3.5, is_cpu=True),
    Figure("kernel_pct", "of that in the kernel", "%"),
    Figure("spread_ms", "CPU per turn, begun at different moments", "ms", is_cpu=True),
    Figure("claude_ms", "CPU per turn, Anthropic upstream", "ms", 5.5, 4.0, is_cpu=True),
    Figure("request_ms", "CPU per request, not streamed", "ms", 0.9, 0.5, is_cpu=True),
)
TIME = (
    Figure("first_p50_ms", "added to the first chunk, p50", "ms", 1.8, 1.2),
    Figure("first_p99_ms", "added to the first chunk, p99", "ms"),
    Figure("jitter_p50_ms", "jitter between chunks, p50", "ms"),
    Figure("jitter_p99_ms", "jitter between chunks, p99", "ms"),
    Figure("hang_up_p50_ms", "hang-up to upstream closed, p50", "ms"),
    Figure("hang_up_max_ms", "hang-up to upstream closed, longest", "ms"),
)
ROOM = (
    Figure("cold_s", "cold start to healthy", "s", 1.5, 0.8),
    Figure("idle_mb", "idle memory, by PSS", "MB", 90, 70),
    Figure("idle_rss_mb", "the same of the largest process, by RSS", "MB"),
    Figure("stream_kb", "memory per open stream, by RSS", "KB", 40, 25),
    Figure("stream_pss_kb", "the same by PSS, with pages that processes cease to share", "KB"),
)
MANY = (
    Figure("whole_1000", "of 1000 streams complete", "%", 100, 100),
    Figure("lag_1000_ms", "lag of a chunk, 1000 streams, p99", "ms", 100, 50),
    Figure("whole_2000", "of 2000 streams complete", "%", 100, 100),
    Figure("lag_2000_ms", "lag of a chunk, 2000 streams, p99", "ms", None, 150),
)
ALL = (*COST, *TIME, *ROOM, *MANY)


def verdict(figure: Figure, value: float | None) -> str:
    """Say whether a value is what the project demands."""
    if value is None or (figure.must is None and figure.aim is None):
        return ""
    if figure.unit == "%":
        return "meets the aim" if value >= 100 else "misses"
    if figure.aim is not None and value <= figure.aim:
        return "meets the aim"
    if figure.must is None:
        return "misses the aim"
    return "meets the limit" if value <= figure.must else "misses"


def text(value: float | None) -> str:
    """Return a number as it is printed: three digits that say something."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

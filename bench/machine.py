"""The machine that the figures come from, and how quiet it was meanwhile."""

import datetime
import os
import platform
from pathlib import Path


def describe() -> dict[str, str]:
    """Return what a reader needs to compare the figures with those of another machine."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB of memory",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


class Noise:
    """What others did on the machine since this was made: read it when all our processes have ended."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._busy, self._all, self._stolen = _ticks()
        self._own = _own_s()

    def describe(self) -> str:
        """Say how much of the processors others had."""
        busy, everything, stolen = _ticks()
        tick = os.sysconf("SC_CLK_TCK")
        total = max(everything - self._all, 1)
        others = max(0.0, (busy - self._busy) / tick - (_own_s() - self._own)) * tick
        return (
            f"load average {self._load:.1f} before the run; "
            f"other processes used {100 * others / total:.1f} % of the processors during it, "
            f"and the host withheld {100 * (stolen - self._stolen) / total:.1f} %"
        )


def _ticks() -> tuple[int, int, int]:
    """Return the ticks that all processors were busy, all ticks, and those that the host of a guest withheld."""
    user, nice, system, idle, wait, hard, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    busy = user + nice + system + hard + soft
    return busy, busy + idle + wait + stolen, stolen


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system

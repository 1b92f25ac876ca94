"""What a tree of processes has used and holds, exactly, from the kernel's own accounts."""

import os
import time
from collections import defaultdict
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ...; nothing if the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_s(root: int) -> float:
    """Return the CPU time of a tree, of user and kernel, to the nanosecond; of those that have ended, to the tick."""
    return sum(_own_cpu_s(pid) + _ended_cpu_s(pid) for pid in tree(root))


def _own_cpu_s(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the process's CPU clock: clock_getcpuclockid(3)
    except OSError:
        return 0.0


def _ended_cpu_s(pid: int) -> float:
    fields = stat(pid)
    return (int(fields[13]) + int(fields[14])) * TICK_S if fields else 0.0


def kernel_share(root: int) -> tuple[float, float]:
    """Return the CPU time that a tree spent in the kernel, and all of it, to the tick."""
    fields = [found for pid in tree(root) if (found := stat(pid))]
    kernel = sum(int(each[12]) for each in fields) * TICK_S
    return kernel, kernel + sum(int(each[11]) for each in fields) * TICK_S


def memory_kb(root: int) -> dict[str, int]:
    """Return a tree's memory: `pss` counts a page that n processes share as 1/n, `rss` counts it in each of them."""
    rolled = [_rollup(pid) for pid in tree(root)]
    rss = [each.get("Rss", 0) for each in rolled]
    return {"pss": sum(each.get("Pss", 0) for each in rolled), "rss": sum(rss), "largest": max(rss)}


def _rollup(pid: int) -> dict[str, int]:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}

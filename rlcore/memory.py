"""How much memory there is, so that a buffer that cannot fit is refused before a run begins, and how much is held."""

from __future__ import annotations

import math
import os
from pathlib import Path

SHARE = 0.8  # of what is available that a buffer may take: the rest of the run needs some too
ROOT = Path("/")  # where proc and sys are


def available() -> float:
    """Bytes that this process can still take, by the machine, its control groups and its own limit; inf if unknown."""
    return min(_machine(), _groups(), _limit())


def _machine() -> float:
    for line in _read("proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):  # none of these here
        return math.inf


def _groups() -> float:
    """The least that a control group, version 2 or 1, of this process or above it leaves: caches count as free."""
    left = math.inf
    for line in _read("proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        base = "sys/fs/cgroup" + (f"/{kinds}" if kinds else "")
        limit, used = ("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else ("memory.max", "memory.current")
        folder = path.strip("/")
        while True:
            here = f"{base}/{folder}"
            most, now = _read(f"{here}/{limit}").strip(), _read(f"{here}/{used}").strip()
            if most.isdigit() and now.isdigit():
                left = min(left, int(most) - int(now) + _cached(_read(f"{here}/memory.stat")))
            if not folder:
                break
            folder = folder.rpartition("/")[0]
    return left


def _cached(stat: str) -> int:
    return next((int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file ")), 0)


def _limit() -> float:
    """What RLIMIT_AS leaves of this process's address space."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    size = _read("proc/self/statm").split()
    return math.inf if most == resource.RLIM_INFINITY or not size else most - int(size[0]) * resource.getpagesize()


def _read(path: str) -> str:
    try:
        return (ROOT / path).read_text()
    except OSError:
        return ""


def resident_bytes() -> int | None:
    """Bytes of main memory that this process holds, None where the system does not say (other than Linux)."""
    statm = _read("proc/self/statm").split()
    return int(statm[1]) * os.sysconf("SC_PAGE_SIZE") if statm else None


def refuse_beyond(needed: float, what: str, remedy: str) -> None:
    """ValueError with both figures if a buffer would take more than its share of the memory that is available."""
    there = available()
    if needed > SHARE * there:
        raise ValueError(
            f"{what} would take {needed / 2**30:.3g} GiB, more than {SHARE:.0%} of the {max(there, 0) / 2**30:.3g} GiB "
            f"of memory that is available: {remedy}"
        )

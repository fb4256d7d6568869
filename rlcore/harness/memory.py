"""How much memory this process holds."""

from __future__ import annotations

import os


def resident_bytes() -> int | None:
    """Bytes of main memory that this process holds, None where the system does not say (other than Linux)."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

"""How much memory a reader may take for a file that came from outside."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # cgroup v2, v1
_FALLBACK = 4 * 2**30  # where the system does not tell


def memory_budget() -> int:
    """Bytes that one file may take in memory: half of what is free now, as the kernel and the container's limit tell it."""
    known = [free for free in (_available(), *map(_group_limit, _GROUP_LIMITS)) if free is not None]
    return min(known, default=_FALLBACK) // 2


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        line = next(line for line in _MEMINFO.read_text(encoding="ascii").splitlines() if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no Linux: half of the machine's memory may be free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return None


def _group_limit(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        return int(file.read_text(encoding="ascii"))
    return None

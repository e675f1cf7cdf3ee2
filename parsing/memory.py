"""How much memory a file that came from outside may take, and reading one within a bound."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from parsing.errors import InputError

_MEMINFO = Path("/proc/meminfo")
_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # cgroup v2, v1
MAX_PIPE_BYTES = 64 * 2**20  # of what has no size: pipes, devices
_FALLBACK = 4 * 2**30  # where the system does not tell


def memory_budget() -> int:
    """Bytes that one file may take in memory: half of what is free now, as the kernel and the container's limit tell it."""
    known = [free for free in (_available(), *map(_group_limit, _GROUP_LIMITS)) if free is not None]
    return min(known, default=_FALLBACK) // 2


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The bytes of a file, of at most `max_bytes`, or of a pipe, of at most 64 MiB.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            regular = stat.S_ISREG(found.st_mode)
            limit = max_bytes if regular else min(max_bytes, MAX_PIPE_BYTES)
            size = found.st_size if regular else limit
            data = file.read(size + 1) if size <= limit else b""  # one more, in case it grows
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if max(size, len(data)) > limit:
        raise InputError(f"{path}: {f'{size / 2**20:.0f} MiB' if regular else 'no end'}, at most {limit / 2**20:.0f} MiB are read")
    return data


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

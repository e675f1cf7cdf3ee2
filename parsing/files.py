"""Writing files so that nobody ever sees half of one, and reading them within a bound."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parsing.errors import InputError

MAX_PIPE_BYTES = 64 * 2**20  # of what has no size: pipes, devices


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that becomes `path` when the block ends well and vanishes when not."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
            data = file.read(min(found.st_size, limit) + 1 if regular else limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > limit:
        size = f"{found.st_size / 2**20:.0f} MiB" if regular else "no end"
        raise InputError(f"{path}: {size}, at most {limit / 2**20:.0f} MiB are read")
    return data

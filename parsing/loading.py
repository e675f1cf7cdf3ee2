"""Loading large libraries, and what they take of memory."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

M_ARENA_MAX = -8  # of glibc's malloc.h


@contextmanager
def loading() -> Iterator[None]:
    """Modules are imported in this block without the garbage collector, which would look at all that they make again and again.

    What they make stays until the process ends, so later collections leave it out as well.
    """
    if not gc.isenabled():  # the program wants it so, or a block around this one
        yield
        return
    gc.collect()  # what is garbage by now must not stay
    gc.disable()
    known = len(sys.modules)
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        gc.enable()


def keep_memory_together() -> None:
    """Have glibc keep one heap for each core and not eight: a heap keeps what its threads have freed, and each video has new threads.

    `MALLOC_ARENA_MAX` of the environment, and other C libraries, stay as they are.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, os.cpu_count() or 1)

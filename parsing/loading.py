"""Loading large libraries."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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

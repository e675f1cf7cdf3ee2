"""PyTorch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def in_threads(count: int) -> Iterator[None]:
    """PyTorch computes in this block, of the thread that enters it, with no more threads than these; afterwards with as many as before.

    Of many small steps each waits for all threads, and longer than it computes where their cores are taken.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

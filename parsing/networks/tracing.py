"""What networks compute, as operators that other programs have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

_TURN = Lock()  # what is set while a network is traced belongs to the whole process


def traced(function: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """What a function computes of the example's tensors, as TorchScript."""
    with as_traced():
        return torch.jit.trace(function, example, check_trace=False)  # type: ignore[no-untyped-call]


@contextmanager
def as_traced() -> Iterator[None]:
    """A block in which networks consist of operators that graphs have; one thread is in it at a time."""
    with _TURN:
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one operator that no graph has
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of lengths that tracing makes constants; the second example finds those
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

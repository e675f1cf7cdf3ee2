"""Batches that memory holds: what is too large is halved, with the same results."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import cv2
import torch

from parsing.errors import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")

MOST_HALVINGS = 3
# How PyTorch's allocator for CPUs, CUDA and its libraries, oneDNN, ONNX Runtime and OpenVINO say it; none has a type of its own.
_SIGNS = (
    "DefaultCPUAllocator",
    "out of memory",
    "not enough memory",
    "Cannot allocate memory",
    "Failed to allocate memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "bad allocation",
    "could not create a memory object",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the GPU or of the machine, does not suffice; NumPy's and OpenCV's included."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class BatchSize:
    """How much goes through a network at a time; it is halved up to three times where memory does not hold it.

    What once was too large is not tried again, and one line in the log says so.

    Args:
        name: what runs, for the log and for errors.
        most: to begin with; in items, or in what `unit` says.
    """

    def __init__(self, name: str, most: int, unit: str = "at a time") -> None:
        self.name, self.most, self.unit, self.halvings = name, most, unit, 0
        self._refused: int | None = None  # what did not fit, until it is told

    def map(self, run: Callable[[Sequence[T]], Iterable[R]], items: Sequence[T]) -> list[R]:
        """The results of all items, in their order.

        Args:
            run: gives one result for each of the items; called again with fewer where memory does not hold what it needs.

        Raises:
            InputError: memory does not even hold the smallest batch.
        """
        found: list[R] = []
        while len(found) < len(items):
            some = items[len(found) : len(found) + self.most]
            found += self.attempt(lambda some=some: list(run(some)), len(some)) or []  # type: ignore[misc]  # bound in the loop
        return found

    def map_groups(self, run: Callable[[Sequence[T]], Iterable[R]], groups: Sequence[Sequence[T]], together: bool) -> list[list[R]]:
        """The results of the items of each group.

        Args:
            together: batches reach across groups, which fills a GPU; else the last digits of a group's results do not depend
                on what the other groups hold.
        """
        if not together:
            return [self.map(run, group) for group in groups]
        found = iter(self.map(run, [item for group in groups for item in group]))
        return [list(itertools.islice(found, len(group))) for group in groups]

    def attempt(self, run: Callable[[], R], size: int) -> R | None:
        """The result of one call, or None: then memory does not hold `size` together, and `most` is half of it.

        Raises:
            InputError: memory does not hold what cannot be halved any more.
        """
        try:
            result = run()
        except (MemoryError, RuntimeError, cv2.error) as error:
            if not is_out_of_memory(error):
                raise
            result = None
        if result is None:  # outside of the handler, where the traceback no longer holds what was allocated
            self._halve(size)
        elif self._refused is not None:
            log.warning("%s: memory does not hold %d %s; going on with %d", self.name, self._refused, self.unit, self.most)
            self._refused = None
        return result

    def _halve(self, size: int) -> None:
        torch.cuda.empty_cache()
        if size == 1 or self.halvings == MOST_HALVINGS:
            raise InputError(f"{self.name}: out of memory with {size} {self.unit}; expected more free memory, or a smaller input")
        self._refused = self._refused or size
        self.most, self.halvings = size // 2, self.halvings + 1

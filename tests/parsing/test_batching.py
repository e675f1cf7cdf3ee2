import logging
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from parsing.batching import BatchSize, is_out_of_memory
from parsing.errors import InputError


def refuse() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


# What this machine's own allocators say of a petabyte; what the others say is copied from their sources.
FAILURES: list[Callable[[], Any]] = [
    refuse,
    lambda: torch.empty(10**15),
    lambda: np.empty(10**15),
    lambda: cv2.resize(np.zeros((9, 9, 3), np.uint8), (1_000_000, 1_000_000)),
]


class Doubling:
    """Doubles numbers; memory holds so many at a time."""

    def __init__(self, holds: int, fail: Callable[[], Any] = refuse) -> None:
        self.holds, self.fail, self.asked = holds, fail, list[int]()

    def __call__(self, some: Sequence[int]) -> list[int]:
        self.asked.append(len(some))
        if len(some) > self.holds:
            self.fail()
        return [2 * item for item in some]


@pytest.mark.parametrize("fail", FAILURES)
def test_a_batch_that_memory_does_not_hold_is_halved(fail: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    batches, run = BatchSize("stage", 16), Doubling(5, fail)
    with caplog.at_level(logging.WARNING):
        assert batches.map(run, range(21)) == list(range(0, 42, 2))
        assert batches.map(run, range(3)) == [0, 2, 4]
    assert run.asked == [16, 8, 4, 4, 4, 4, 4, 1, 3]  # what was too large is not tried again
    assert [record.getMessage() for record in caplog.records] == ["stage: memory does not hold 16 at a time; going on with 4"]


@pytest.mark.parametrize(("most", "items", "asked"), [(64, 64, [64, 32, 16, 8]), (3, 3, [3, 1]), (1, 2, [1])])
def test_three_halvings_and_no_less_than_one(most: int, items: int, asked: list[int]) -> None:
    run = Doubling(0)
    with pytest.raises(InputError, match=f"^stage: out of memory with {asked[-1]} at a time; expected more free memory"):
        BatchSize("stage", most).map(run, range(items))
    assert run.asked == asked


def test_nothing_is_nothing_and_other_errors_are_not_memory() -> None:
    assert BatchSize("stage", 4).map(Doubling(0), []) == []

    def broken(some: Sequence[int]) -> list[int]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({len(some)}x3 and 4x4)")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        BatchSize("stage", 4).map(broken, range(4))
    with pytest.raises(cv2.error):
        BatchSize("stage", 4).map(lambda some: [cv2.resize(np.zeros((0, 0), np.uint8), (len(some), 2))] * len(some), range(4))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
        "std::bad_alloc",
        "could not create a memory object",
    ],
)
def test_libraries_without_a_type_for_it(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(ValueError(text))

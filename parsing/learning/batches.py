"""Which items make up the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from torch.utils.data import Sampler


class Batches(Protocol):
    """Keys of items, batch after batch, for the epoch that is set."""

    @property
    def lr_scale(self) -> float:
        """Factor on the learning rate in this epoch."""

    def begin(self, epoch: int) -> None: ...

    def steps(self, epoch: int) -> int:
        """Batches of an epoch."""

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]: ...


class EpochSampler(Sampler[tuple[int, int]]):
    """Draws `(index, seed)` pairs: a shuffle, or weighted draws with replacement, fixed by seed and epoch.

    Args:
        weights: (N,) how often an item is drawn, relative to the others; None draws each once.
        rank, world_size: every process takes its own slice of the same order.
    """

    def __init__(self, length: int, weights: Sequence[float] | None, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        self.weights = None if weights is None else np.asarray(weights, float) / np.sum(weights)
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.length // self.world_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        drawn = self.weights is not None
        order = random.choice(self.length, self.length, p=self.weights) if drawn else random.permutation(self.length)
        seeds = random.integers(0, 2**31, self.length)
        for position in range(self.rank, len(self) * self.world_size, self.world_size):
            yield int(order[position]), int(seeds[position])


class EqualBatches:
    """Batches of one size; what is left over at the end of an epoch makes none, unless there is no other."""

    lr_scale = 1.0

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def begin(self, epoch: int) -> None:
        self.sampler.epoch = epoch

    def steps(self, epoch: int) -> int:  # noqa: ARG002  # all epochs are alike
        return max(1, len(self.sampler) // self.batch_size) if len(self.sampler) else 0

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        yield from grouped(iter(self.sampler), [self.batch_size] * self.steps(0))


def grouped(keys: Iterator[tuple[int, int]], sizes: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """The keys in batches of these sizes; the last may be smaller."""
    for size in sizes:
        batch: list[tuple[int, ...]] = [key for _, key in zip(range(size), keys, strict=False)]
        if batch:
            yield batch

"""Multigrid training (Wu et al., CVPR 2020): clips of fewer frames and pixels in larger batches, in cycles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from parsing.learning.batches import EpochSampler, grouped

Cycles = Literal["none", "short", "long", "both"]
# Factors on frames and on pixels a side in each quarter of a long cycle, and on pixels a side of batches in turn.
LONG = ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (0.5, 1.0), (1.0, 1.0))
SHORT = (0.5, 0.5**0.5, 1.0)
MULTIPLE_PX = 8


class MultigridBatches:
    """Batches whose keys also carry the frames and the size of their clips, about as much work in each.

    As published, one long cycle spans each part of the training between two drops of the rate (`cycles` of the
    schedule), the rate grows with the batch of a long cycle and not with that of a short one, and the last epoch sees
    whole clips. Statistics of batch norms are taken over whole batches, not over sub-batches.

    Args:
        batch_size: of whole clips.
        frames, size: of a whole clip.
        epochs, parts: of the training.
        frames_multiple: what the network needs the frames of a clip to be a multiple of.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch_size: int,
        cycles: Cycles,
        frames: int,
        size: int,
        epochs: int,
        parts: int,
        frames_multiple: int = 1,
    ) -> None:
        self.sampler, self.batch_size, self.cycles, self.epochs, self.parts = sampler, batch_size, cycles, epochs, parts
        self.frames, self.size, self.frames_multiple = frames, size, frames_multiple
        self.epoch = 0

    def begin(self, epoch: int) -> None:
        self.epoch = self.sampler.epoch = epoch

    @property
    def lr_scale(self) -> float:
        most = max(len(self.sampler), self.batch_size)  # no batch has more
        return min(self._batch(*self._long(self.epoch)), most) / self.batch_size

    def steps(self, epoch: int) -> int:
        return len(self._plan(epoch))

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        plan = self._plan(self.epoch)
        batches = grouped(iter(self.sampler), [count for count, _, _ in plan])
        for batch, (_, frames, size) in zip(batches, plan, strict=True):
            yield [(*key, frames, size) for key in batch]

    def _plan(self, epoch: int) -> list[tuple[int, int, int]]:
        """Items, frames and size of each batch of an epoch."""
        frames, size = self._long(epoch)
        plan: list[tuple[int, int, int]] = []
        left = len(self.sampler)
        while left > 0:
            px = size
            if self.cycles in ("short", "both"):
                px = min(size, self._pixels(SHORT[len(plan) % len(SHORT)]))
            count = min(left, self._batch(frames, px))
            if plan and count < min(left + 1, self.batch_size):  # batch norms want no crumbs
                break
            plan.append((count, frames, px))
            left -= count
        return plan

    def _long(self, epoch: int) -> tuple[int, int]:
        """Frames and size in an epoch."""
        if self.cycles == "short" or epoch == self.epochs - 1:
            return self.frames, self.size
        share = epoch * self.parts / self.epochs % 1.0
        in_time, in_space = LONG[int(len(LONG) * share)]
        frames = max(self.frames_multiple, round(self.frames * in_time) // self.frames_multiple * self.frames_multiple)
        return frames, self._pixels(in_space)

    def _pixels(self, factor: float) -> int:
        return max(MULTIPLE_PX, round(self.size * factor / MULTIPLE_PX) * MULTIPLE_PX) if factor < 1 else self.size

    def _batch(self, frames: int, size: int) -> int:
        """As many items as make the work of a batch of whole clips."""
        return max(1, round(self.batch_size * self.frames * self.size**2 / (frames * size**2)))

"""Labelled clips decoded where they are asked for, in this process or in workers, and kept within a bound of memory."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from parsing.errors import InputError
from parsing.types import Array
from parsing.video import count_frames, probe, read_nearest
from recognizers.lists import ClipRecord
from recognizers.sampling import Dense, Sampling

log = logging.getLogger(__name__)
Prepare = Callable[[Array], Array]


def readable(records: Sequence[ClipRecord]) -> list[ClipRecord]:
    """Those whose files open as videos; the others are named and counted. What is damaged further in shows when it is decoded."""
    kept = []
    for record in records:
        try:
            probe(record.path)
            kept.append(record)
        except InputError as error:
            log.warning("%s; left out", error)
    if len(kept) < len(records):
        log.warning("%d of %d clips left out", len(records) - len(kept), len(records))
    return kept


class ClipStore:
    """Frames of clips, (N, H, W, 3) uint8 RGB, shrunk; the ones used last are kept.

    Args:
        most_frames: of a longer clip those in the middle are kept for dense sampling, for segments snippets that are
            spread over it.
        short_side_px: larger frames are shrunk to it.
        most_mb: memory for decoded clips, of each process.
        prepare: what becomes of the decoded frames before they are shrunk, such as super-resolution.
    """

    def __init__(
        self,
        records: Sequence[ClipRecord],
        sampling: Sampling,
        most_frames: int,
        short_side_px: int,
        most_mb: int,
        prepare: Prepare | None = None,
    ) -> None:
        self.records, self.sampling, self.most_frames, self.short_side_px = records, sampling, most_frames, short_side_px
        self.most_bytes, self.prepare = most_mb * 2**20, prepare
        self.damaged: set[int] = set()
        self._kept: OrderedDict[int, Array] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Array | None:
        """The frames of a clip; None, with a warning the first time, where it cannot be read."""
        if index in self.damaged:
            return None
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        try:
            frames = self._decode(self.records[index])
        except InputError as error:
            self.damaged.add(index)
            log.warning("%s; left out (%d of %d clips so far)", error, len(self.damaged), len(self))
            return None
        self._keep(index, frames)
        return frames

    def _decode(self, record: ClipRecord) -> Array:
        wanted = kept_frames(count_frames(record.path), self.sampling, self.most_frames)
        found = read_nearest(record.path, wanted)
        frames = np.stack([found[int(index)].image for index in wanted])
        return shrink(frames if self.prepare is None else self.prepare(frames), self.short_side_px)

    def _keep(self, index: int, frames: Array) -> None:
        self._kept[index] = frames
        self._bytes += frames.nbytes
        while self._bytes > self.most_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes


def kept_frames(num_frames: int, sampling: Sampling, most_frames: int) -> Array:
    """Indices of the frames of a clip that are kept."""
    if num_frames <= most_frames:
        return np.arange(max(1, num_frames))
    if isinstance(sampling, Dense):
        return np.arange(most_frames) + (num_frames - most_frames) // 2
    reach = (sampling.snippet - 1) * sampling.step + 1  # what one snippet spans stays together
    starts = np.linspace(0, num_frames - reach, max(1, most_frames // reach)).round().astype(int)
    return np.minimum((starts[:, None] + np.arange(reach)).ravel(), num_frames - 1)


def shrink(frames: Array, short_side_px: int) -> Array:
    """(N, H, W, 3) frames whose short side is at most so long."""
    height, width = frames.shape[1:3]
    scale = short_side_px / min(height, width)
    if scale >= 1:
        return frames
    size = (round(width * scale), round(height * scale))
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in frames])

"""Labelled clips decoded where they are asked for, in this process or in workers, and kept within a bound of memory."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from parsing.datasets.clips import ClipRecord
from parsing.errors import InputError
from parsing.media.sources import open_source
from parsing.types import Array
from recognizers.clips.frame_sampling import Dense, Sampling, Segments
from recognizers.clips.test_views import with_short_side

log = logging.getLogger(__name__)
Prepare = Callable[[Array], Array]
THREADS = min(32, os.cpu_count() or 1)  # that open and decode clips before a training begins


def readable(records: Sequence[ClipRecord]) -> list[ClipRecord]:
    """Those whose files open as videos; the others are named and counted. What is damaged further in shows when it is decoded."""
    with ThreadPoolExecutor(THREADS) as pool:
        errors = list(pool.map(_error_of, records))
    for error in filter(None, errors):
        log.warning("%s; left out", error)
    kept = [record for record, error in zip(records, errors, strict=True) if error is None]
    if len(kept) < len(records):
        log.warning("%d of %d clips left out", len(records) - len(kept), len(records))
    return kept


def _error_of(record: ClipRecord) -> InputError | None:
    """Why a file does not open."""
    try:
        open_source(record.path).close()
    except InputError as error:
        return error
    return None


class ClipStore:
    """Frames of clips, (N, H, W, 3) uint8 RGB, shrunk; the ones used last are kept.

    Args:
        most_frames: of a longer clip those in the middle are kept for dense sampling, for segments snippets that are
            spread over it.
        short_side_px: larger frames are shrunk to it.
        most_mb: memory for decoded clips.
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
        # Seen by all workers, so that one of them warns: clips that cannot be read, and those that lack frames.
        self.damaged, self.patched = torch.zeros(2, len(records), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]
        self._kept: OrderedDict[int, Array] = OrderedDict()
        self._bytes, self._is_fixed = 0, False

    def load(self) -> None:
        """Decode in threads what memory may hold, and keep just that from now on.

        Processes that are forked afterwards share it; what each of them kept by itself would be held as many times.
        """
        self._is_fixed = True
        with ThreadPoolExecutor(THREADS) as pool:
            for first in range(0, len(self), THREADS):
                some = range(first, min(first + THREADS, len(self)))
                for index, frames in zip(some, pool.map(self.__getitem__, some), strict=True):
                    if frames is not None and self._bytes + frames.nbytes <= self.most_bytes:
                        self._kept[index] = frames
                        self._bytes += frames.nbytes
                if self._bytes + self._bytes / max(1, len(self._kept)) > self.most_bytes:
                    break
        log.info("%d of %d clips in memory, %d MiB", len(self._kept), len(self), self._bytes >> 20)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Array | None:
        """The frames of a clip; None, with a warning the first time, where it cannot be read."""
        if self.damaged[index]:
            return None
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        try:
            frames = self._decode(index)
        except InputError as error:
            self.damaged[index] = True
            log.warning("%s; left out (%d of %d clips so far)", error, int(self.damaged.sum()), len(self))
            return None
        self._keep(index, frames)
        return frames

    def run(self, num_kept: int) -> int:
        """How many frames of so many kept ones follow each other in the video: all, or those of one snippet where it is thinned."""
        if isinstance(self.sampling, Dense) or num_kept != _thinned(self.sampling, self.most_frames):
            return num_kept
        return self.sampling.reach

    def _decode(self, index: int) -> Array:
        path = self.records[index].path
        source = open_source(path)
        wanted = kept_frames(source.num_frames, self.sampling, self.most_frames).tolist()
        found = source.at(wanted)
        lost = sum(found[place].index != place for place in wanted)
        if lost and not self.patched[index]:
            self.patched[index] = True
            log.warning("%s: damaged: %d of %d frames cannot be decoded; the nearest stand for them", path, lost, len(wanted))
        frames = np.stack([found[place].image for place in wanted])
        return shrink(frames if self.prepare is None else self.prepare(frames), self.short_side_px)

    def _keep(self, index: int, frames: Array) -> None:
        if self._is_fixed:
            return
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
    reach = sampling.reach  # what one snippet spans stays together
    starts = np.linspace(0, num_frames - reach, _thinned(sampling, most_frames) // reach).round().astype(int)
    return np.minimum((starts[:, None] + np.arange(reach)).ravel(), num_frames - 1)


def _thinned(sampling: Segments, most_frames: int) -> int:
    """Frames that are kept of a longer clip."""
    return max(1, most_frames // sampling.reach) * sampling.reach


def shrink(frames: Array, short_side_px: int) -> Array:
    """(N, H, W, 3) frames whose short side is at most so long."""
    if short_side_px >= min(frames.shape[1:3]):
        return frames
    return np.stack([with_short_side(image, short_side_px) for image in frames])

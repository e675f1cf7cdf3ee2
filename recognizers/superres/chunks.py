"""Long and large videos in overlapping pieces of time and space, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from parsing.configs import Count, config
from parsing.errors import InputError
from parsing.types import Array

Overlap = Annotated[int, Field(ge=0, le=100_000)]


@config
class Chunking:
    """How a video is cut.

    Networks that propagate look without end into the past and the future, and flow looks at a whole picture: results near
    a seam differ a little from those of the whole, the less the larger the overlap. RealBasicVSR decides piece by piece how
    often it cleans.

    Args:
        chunk_frames, overlap_frames: most frames that go through the network together, and how many two pieces share.
        tile_px, tile_overlap_px: the same for either side of the small pictures.
    """

    chunk_frames: Count = 15
    overlap_frames: Overlap = 6
    tile_px: Count = 192
    tile_overlap_px: Overlap = 32

    def smaller(self, tile_px: int) -> Chunking:
        """The same in tiles of at most this side."""
        if tile_px >= self.tile_px:
            return self
        return replace(self, tile_px=tile_px, tile_overlap_px=min(self.tile_overlap_px, tile_px // 2))

    def check(self, where: str) -> None:
        """Raises InputError where pieces would be nothing but overlap."""
        for size, overlap in (("chunk_frames", "overlap_frames"), ("tile_px", "tile_overlap_px")):
            most, found = getattr(self, size), getattr(self, overlap)
            if found >= most:
                raise InputError(f"{where}: {overlap} {found}, expected less than {size}, which is {most}")


class Span(NamedTuple):
    """A piece from `start` to `stop`, of which `keep_start` to `keep_stop` is used."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def spans(length: int, size: int, overlap: int) -> list[Span]:
    """Equal pieces of a row that share at least `overlap` with their neighbours, and are used up to the middle of that."""
    if length <= size:
        return [Span(0, length, 0, length)]
    starts = np.linspace(0, length - size, -(-(length - overlap) // (size - overlap))).round().astype(int)
    cuts = [0, *((starts[1:] + starts[:-1] + size) // 2).tolist(), length]
    return [Span(start, start + size, *cuts[i : i + 2]) for i, start in enumerate(starts.tolist())]


def by_tiles(frames: Array, scale: int, cut: Chunking, run: Callable[[Array], Array]) -> Array:
    """(T, H, W, 3) uint8 through `run` tile by tile to (T, scale H, scale W, 3)."""
    num_frames, height, width = frames.shape[:3]
    if max(height, width) <= cut.tile_px:
        return run(frames)
    result = np.empty((num_frames, height * scale, width * scale, 3), np.uint8)
    for y in spans(height, cut.tile_px, cut.tile_overlap_px):
        for x in spans(width, cut.tile_px, cut.tile_overlap_px):
            found = run(frames[:, y.start : y.stop, x.start : x.stop])
            rows, columns = (slice((s.keep_start - s.start) * scale, (s.keep_stop - s.start) * scale) for s in (y, x))
            result[:, y.keep_start * scale : y.keep_stop * scale, x.keep_start * scale : x.keep_stop * scale] = found[:, rows, columns]
    return result

"""The stage: frames of a video in, larger frames out, in bounded memory, kept on disk if a cache is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from parsing.batching import BatchSize
from parsing.errors import InputError
from parsing.types import Array, ModelFacts
from recognizers.superres.cache import ArrayCache, key_of
from recognizers.superres.chunks import Chunking, by_tiles, spans


class SuperResolver:
    """Larger frames of a video.

    Args:
        run: (T, H, W, 3) uint8 RGB to (T, scale H, scale W, 3); called on pieces no larger than `cut` says.
        reach: frames to either side that a frame's result depends on, for `upscale_some`.
        cache: where results of pieces of time are kept, `settings` and the frames being their key.
    """

    def __init__(
        self,
        run: Callable[[Array], Array],
        scale: int,
        facts: ModelFacts,
        cut: Chunking,
        reach: int = 0,
        cache: ArrayCache | None = None,
    ) -> None:
        self.run, self.scale, self.facts, self.cut, self.reach, self.cache = run, scale, facts, cut, reach, cache
        self.tiles = BatchSize("super_resolution", cut.tile_px, "px wide")

    def __call__(self, frames: Array) -> Array:
        """All frames, enlarged.

        Args:
            frames: (T, H, W, 3) uint8 RGB.

        Returns:
            (T, scale H, scale W, 3) uint8 RGB.

        Raises:
            InputError: the array is something else.
        """
        check_clip(frames)
        num_frames, height, width, _ = frames.shape
        result = np.empty((num_frames, height * self.scale, width * self.scale, 3), np.uint8)
        done = 0
        for part in self.parts(frames):
            result[done : done + len(part)] = part
            done += len(part)
        return result

    def parts(self, frames: Array) -> Iterator[Array]:
        """The enlarged frames piece by piece in order of time, for videos whose result does not fit into memory."""
        check_clip(frames)
        if not len(frames):
            return
        for span in spans(len(frames), self.cut.chunk_frames, self.cut.overlap_frames):
            found = self._piece(frames[span.start : span.stop])
            yield found[span.keep_start - span.start : span.keep_stop - span.start]

    def _piece(self, frames: Array) -> Array:
        """A piece of time, in smaller tiles where memory does not hold those of the config."""
        found: Array | None = None
        while found is None:
            side_px = min(self.tiles.most, max(frames.shape[1:3]))
            found = self.tiles.attempt(partial(self._kept, frames, self.cut.smaller(self.tiles.most)), side_px)
        return found

    def _kept(self, frames: Array, cut: Chunking) -> Array:
        if self.cache is None:
            return by_tiles(frames, self.scale, cut, self.run)
        # The cut moves seams, so it belongs to what a result depends on.
        key = key_of(f"{self.facts.name} {self.facts.weights_sha256} {self.scale} {cut}", frames)
        found = self.cache.get(key)
        if found is None:
            found = by_tiles(frames, self.scale, cut, self.run)
            self.cache.put(key, found)
        return found


def needed_frames(wanted: Iterable[int], num_frames: int, reach: int) -> list[int]:
    """Indices of the frames that `upscale_some` must be given, sorted: the wanted ones and their neighbours."""
    return sorted({near for index in wanted for near in range(max(0, index - reach), min(num_frames, index + reach + 1))})


def upscale_some(resolver: SuperResolver, frames: Mapping[int, Array], wanted: Iterable[int]) -> dict[int, Array]:
    """Enlarge the frames that a sampler wants; beside them only the neighbours that propagation needs are computed.

    Args:
        frames: (H, W, 3) uint8 RGB by index; those of `needed_frames`, fewer at the ends of a video.
        wanted: indices; repeats are computed once.

    Raises:
        InputError: a wanted frame is not there, or frames differ in size.
    """
    indices = sorted(set(wanted))
    for index in indices:
        if index not in frames:
            raise InputError(f"frame {index} is wanted but not given; given are {len(frames)} frames")
    used = [index for index in needed_frames(indices, max(indices, default=0) + resolver.reach + 1, resolver.reach) if index in frames]
    found: dict[int, Array] = {}
    for row in rows(used):
        large = resolver(as_clip([frames[index] for index in row]))
        found |= {index: large[index - row[0]] for index in indices if index in row}
    return found


def rows(indices: Sequence[int]) -> list[range]:
    """Sorted indices as runs without gaps."""
    breaks = [i for i in range(1, len(indices)) if indices[i] != indices[i - 1] + 1]
    return [range(indices[a], indices[b - 1] + 1) for a, b in zip([0, *breaks], [*breaks, len(indices)], strict=True) if b > a]


def as_clip(images: Sequence[Array]) -> Array:
    """(T, H, W, 3) from single frames.

    Raises:
        InputError: a frame has another size than the first.
    """
    for number, image in enumerate(images):
        if image.shape != images[0].shape:
            raise InputError(f"frame {number}: size {_size(image)}, expected {_size(images[0])} as of the first frame")
    return np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8)


def check_clip(frames: Array) -> None:
    """Raises InputError for anything but (T, H, W, 3) uint8 with pixels in it."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(f"frames: {frames.dtype} of shape {frames.shape}, expected uint8 of shape (frames, height, width, 3)")
    if len(frames) and not frames.size:
        raise InputError(f"frames: shape {frames.shape}, expected at least 1 x 1 pixel")


def check_scale(found: int, expected: int | None, path: Path) -> None:
    """Raises InputError where weights enlarge by another factor than the config says."""
    if expected is not None and found != expected:
        raise InputError(f"{path}: weights enlarge {found} times, but the config says scale {expected}")


def _size(image: Array) -> str:
    return " x ".join(str(side) for side in image.shape[1::-1])

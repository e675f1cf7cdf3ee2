"""Which frames of a video a recognizer looks at: uniform segments, as in TSN (Wang et al., ECCV 2016), or dense clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from parsing.types import Array


@dataclass(frozen=True)
class Segments:
    """One snippet from each of `num` equal segments of the video: `snippet` frames, `step` apart.

    Args:
        multiple: of which the frames of a clip are one.
    """

    num: int
    snippet: int = 1
    step: int = 1
    multiple: int = 1

    @property
    def clip_frames(self) -> int:
        return self.num * self.snippet

    @property
    def frames_in_row(self) -> int:
        return self.snippet

    @property
    def reach(self) -> int:
        """Frames of the video from the first of a snippet to its last."""
        return (self.snippet - 1) * self.step + 1

    def for_test(self, num_frames: int, num_clips: int) -> list[Array]:
        """(T,) frame indices of each clip."""
        return segment_frames(num_frames, self.num, num_clips, self.snippet, self.step)

    def at_random(self, num_frames: int, random: np.random.Generator, run: int | None = None) -> Array:
        """(T,) frame indices of a clip for training.

        Args:
            run: frames that follow each other; where they are fewer than all, snippets begin where a run does.
        """
        starts = random_segments(num_frames, self.num, random)
        if run is not None and run < num_frames:
            starts -= starts % run
        return snippet_frames(starts, num_frames, self.snippet, self.step)

    def shortened(self, frames: int) -> Segments:
        """The same span in clips of fewer frames."""
        return replace(self, num=max(1, frames // self.snippet))


@dataclass(frozen=True)
class Dense:
    """Frames in a row, every `interval`-th; a video that is too short starts again.

    Args:
        multiple: of which the frames of a clip are one.
    """

    frames: int
    interval: int = 1
    multiple: int = 1

    @property
    def clip_frames(self) -> int:
        return self.frames

    @property
    def frames_in_row(self) -> int:
        return self.frames

    def for_test(self, num_frames: int, num_clips: int) -> list[Array]:
        """(T,) frame indices of each clip; clips are spread evenly, a single one is the middle."""
        spare = max(0, num_frames - 1 - (self.frames - 1) * self.interval)
        shares: Sequence[float] = [0.5] if num_clips == 1 else np.linspace(0, 1, num_clips).tolist()
        return [self._from(round(spare * share), num_frames) for share in shares]

    def shortened(self, frames: int) -> Dense:
        """The same span in clips of fewer frames."""
        return replace(self, frames=frames, interval=max(1, self.interval * self.frames // frames))

    def at_random(self, num_frames: int, random: np.random.Generator) -> Array:
        """(T,) frame indices of a clip for training."""
        spare = max(0, num_frames - 1 - (self.frames - 1) * self.interval)
        return self._from(int(random.integers(0, spare + 1)), num_frames)

    def _from(self, start: int, num_frames: int) -> Array:
        if num_frames < 1:
            raise ValueError(f"num_frames is {num_frames}, expected at least 1")
        return (start + np.arange(self.frames) * self.interval) % num_frames


Sampling = Segments | Dense
Sampler = Literal["dense", "uniform"]


def clip_sampling(sampler: Sampler, frames: int, interval: int, multiple: int = 1) -> Sampling:
    """Clips of so many frames: in a row, or one of each segment of the video (SIAT 2022), where the interval does not count."""
    return Dense(frames, interval, multiple) if sampler == "dense" else Segments(frames, multiple=multiple)


def segment_frames(num_frames: int, num_segments: int, num_clips: int = 1, snippet: int = 1, step: int = 1) -> list[Array]:
    """Frame indices of each clip, (num_segments * snippet,) each, for testing.

    The video is cut into equal segments and every clip takes one snippet of each: clip c of C at the share
    (c + 0.5) / C of the segment. A snippet is `snippet` frames that lie `step` apart. Short videos repeat frames.

    Raises:
        ValueError: the video has no frame.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}, expected at least 1")
    offsets = (np.arange(num_clips) + 0.5) / num_clips
    starts = [_at(num_frames, num_segments, np.full(num_segments, offset)) for offset in offsets]
    return [snippet_frames(start, num_frames, snippet, step) for start in starts]


def random_segments(num_positions: int, num_segments: int, random: np.random.Generator) -> Array:
    """(num_segments,) positions for training: a random one of each segment."""
    return _at(num_positions, num_segments, random.random(num_segments))


def snippet_frames(starts: Array, num_frames: int, snippet: int, step: int) -> Array:
    """(N * snippet,) frame indices from (N,) starts; a snippet that would pass the video's end begins earlier."""
    reach = (snippet - 1) * step
    begin = np.clip(starts, 0, max(0, num_frames - 1 - reach))
    return np.minimum(begin[:, None] + np.arange(snippet) * step, num_frames - 1).ravel()


def _at(num_frames: int, num_segments: int, shares: Array) -> Array:
    positions = (np.arange(num_segments) + shares) * num_frames / num_segments
    return np.minimum(positions.astype(np.int64), num_frames - 1)

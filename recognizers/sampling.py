"""Which frames of a video a recognizer looks at: uniform segments, as in TSN (Wang et al., ECCV 2016) and TSM."""

from __future__ import annotations

import numpy as np

from parsing.types import Array


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

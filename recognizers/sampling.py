"""Which frames of a video a recognizer looks at: uniform segments, as in TSN (Wang et al., ECCV 2016) and TSM."""

from __future__ import annotations

import numpy as np

from parsing.types import Array


def segment_frames(num_frames: int, num_segments: int, num_clips: int = 1) -> list[Array]:
    """Frame indices of each clip, (num_segments,) each, for testing.

    The video is cut into equal segments and every clip takes one frame of each: clip c of C at the share
    (c + 0.5) / C of the segment. Videos shorter than the segments repeat frames.

    Raises:
        ValueError: the video has no frame.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}, expected at least 1")
    offsets = (np.arange(num_clips) + 0.5) / num_clips
    return [_at(num_frames, num_segments, np.full(num_segments, offset)) for offset in offsets]


def random_segment_frames(num_frames: int, num_segments: int, random: np.random.Generator) -> Array:
    """(num_segments,) frame indices for training: a random frame of each segment."""
    return _at(num_frames, num_segments, random.random(num_segments))


def _at(num_frames: int, num_segments: int, shares: Array) -> Array:
    positions = (np.arange(num_segments) + shares) * num_frames / num_segments
    return np.minimum(positions.astype(np.int64), num_frames - 1)

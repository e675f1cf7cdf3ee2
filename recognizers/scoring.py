"""What a recognizer says of a clip on disk."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from parsing.errors import InputError
from parsing.media.video import count_frames, probe, read_nearest
from parsing.types import Array, Frame
from recognizers.superres.scaling import Scaling
from recognizers.video import VideoRecognizer


def clip_logits(stage: VideoRecognizer, path: Path, scaling: Scaling | None = None) -> tuple[Array, float]:
    """(A,) logits, averaged over clips and views, and the seconds that the networks took.

    Raises:
        InputError: the clip cannot be read.
    """
    num_frames = count_frames(path)
    if not num_frames:
        raise InputError(f"{path}: holds no frame")
    sampled = stage.clips(num_frames)
    wanted = np.concatenate(sampled)
    if scaling is None:
        frames = read_nearest(path, wanted)
        started = time.perf_counter()
    else:
        facts = probe(path)
        frames = read_nearest(path, scaling.needed(wanted.tolist(), num_frames, (facts.height, facts.width)))
        started = time.perf_counter()
        frames = scale_frames(scaling, frames, wanted)
    logits = stage.logits([[frames[int(index)] for index in clip] for clip in sampled]).mean(0)
    return np.asarray(logits), time.perf_counter() - started


def scale_frames(scaling: Scaling, frames: dict[int, Frame], wanted: Array) -> dict[int, Frame]:
    """The wanted frames as the recognizer sees them."""
    images = scaling.some({index: frame.image for index, frame in frames.items()}, wanted.tolist())
    return {index: Frame(frames[index].video, index, frames[index].time_s, image) for index, image in images.items()}

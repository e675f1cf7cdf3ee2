"""Scores of a recognizer on clips with several labels."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from parsing.errors import InputError
from parsing.types import Array
from parsing.video import count_frames, read_nearest
from recognizers.multilabel.scores import MultiLabelScores
from recognizers.multilabel.tinyvirat import TinyClip, multi_hot
from recognizers.video import VideoRecognizer

log = logging.getLogger(__name__)


def score_clips(stage: VideoRecognizer, clips: Sequence[TinyClip], folder: Path, name: str) -> MultiLabelScores:
    """Logits of every clip, whatever its length; one that cannot be read gets the mean of all others, and is named.

    Args:
        folder: the videos of the split.

    Raises:
        InputError: no clip can be read.
    """
    logits = np.full((len(clips), len(stage.action_names)), np.nan)
    seconds = np.zeros(len(clips))
    for row, clip in enumerate(clips):
        try:
            logits[row], seconds[row] = _score(stage, folder / clip.path)
        except InputError as error:
            log.warning("%s; it gets the mean of all other clips", error)
    lost = np.isnan(logits).any(1)
    if lost.all():
        raise InputError(f"{folder}: none of {len(clips)} clips can be read")
    logits[lost] = logits[~lost].mean(0)
    if lost.any():
        log.warning("%d of %d clips could not be read", int(lost.sum()), len(clips))
    classes = list(stage.action_names)
    return MultiLabelScores(name, np.array([clip.path for clip in clips]), np.array(classes), multi_hot(clips, classes), logits, seconds)


def _score(stage: VideoRecognizer, path: Path) -> tuple[Array, float]:
    sampled = stage.sample(count_frames(path))
    frames = read_nearest(path, np.concatenate(sampled))
    started = time.perf_counter()
    logits = stage.logits([[frames[int(index)] for index in clip] for clip in sampled]).mean(0)
    return logits, time.perf_counter() - started

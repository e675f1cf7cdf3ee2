"""Scores of a recognizer on clips with several labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from parsing.datasets.clips import ClipRecord
from parsing.errors import InputError
from recognizers.multilabel.scores import MultiLabelScores
from recognizers.scoring import clip_logits
from recognizers.superres.scaling import Scaling
from recognizers.video import VideoRecognizer

log = logging.getLogger(__name__)


def score_clips(stage: VideoRecognizer, records: Sequence[ClipRecord], name: str, scaling: Scaling | None = None) -> MultiLabelScores:
    """Logits of every clip, whatever its length; one that cannot be read gets the mean of all others, and is named.

    Raises:
        InputError: no clip can be read.
    """
    logits = np.full((len(records), len(stage.action_names)), np.nan)
    seconds = np.zeros(len(records))
    for row, record in enumerate(records):
        try:
            logits[row], seconds[row] = clip_logits(stage, record.path, scaling)
        except InputError as error:
            log.warning("%s; it gets the mean of all other clips", error)
    lost = np.isnan(logits).any(1)
    if lost.all():
        raise InputError(f"{name}: none of {len(records)} clips can be read")
    logits[lost] = logits[~lost].mean(0)
    if lost.any():
        log.warning("%d of %d clips could not be read", int(lost.sum()), len(records))
    truth = np.stack([stage.labels.target(record.labels) if record.labels else np.full(logits.shape[1], -1) for record in records])
    videos, classes = np.array([record.name for record in records]), np.array(stage.action_names)
    return MultiLabelScores(name, videos, classes, truth.astype(np.int8), logits, seconds)

"""Scores of a recognizer for clips on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from parsing.datasets.clips import ClipRecord
from parsing.errors import InputError
from parsing.media.sources import open_source
from parsing.stages import ActionRecognizer
from parsing.types import Array
from recognizers.ensemble import logits_of
from recognizers.labels import ActionLabels
from recognizers.scores import SavedScores, one_hot

log = logging.getLogger(__name__)
SMALLEST = float(np.finfo(np.float32).tiny)  # probability of a recognizer that still differs from 0


def score_clips(stage: ActionRecognizer, records: Sequence[ClipRecord], name: str) -> SavedScores:
    """Logits of every clip, decoded one after the other; those that cannot be read are named.

    Without a clip that cannot be read, single-label scores go on; multi-label clips keep their places, since a submission
    needs an answer for each, and this one gets the mean of all others.

    Raises:
        InputError: no clip can be read.
    """
    labels = ActionLabels(stage.action_names, stage.multi_label)
    logits, seconds = np.full((len(records), len(labels.names)), np.nan), np.zeros(len(records))
    for row, record in enumerate(records):
        try:
            logits[row], seconds[row] = clip_logits(stage, record.path)
        except InputError as error:
            log.warning("%s; %s", error, "it gets the mean of all other clips" if labels.multi_label else "left out")
    lost = np.isnan(logits).any(1)
    if lost.all():
        raise InputError(f"{name}: none of {len(records)} clips can be read")
    if lost.any():
        log.warning("%d of %d clips could not be read", int(lost.sum()), len(records))
    logits[lost] = logits[~lost].mean(0)
    kept = np.ones(len(records), bool) if labels.multi_label else ~lost
    videos, disjoint = np.array([record.name for record in records]), np.array([record.scene_disjoint for record in records])
    columns = videos, _truth(records, labels), logits, seconds, disjoint
    videos, truth, logits, seconds, disjoint = (column[kept] for column in columns)
    names, background = np.array(labels.names), np.array(stage.background, str)
    return SavedScores(name, videos, names, truth, logits, seconds, disjoint, labels.multi_label, background)


def clip_logits(stage: ActionRecognizer, path: Path) -> tuple[Array, float]:
    """(A,) logits of a clip, up to a constant where its actions are single-label, and the seconds that the networks took.

    Raises:
        InputError: the clip cannot be read.
    """
    source = open_source(path)
    if not source.num_frames:
        raise InputError(f"{path}: holds no frame")
    frames = source.at(stage.indices(source.num_frames))
    started = time.perf_counter()
    found = stage(frames, source.num_frames)
    return logits_of(found.probabilities, stage.multi_label, SMALLEST), time.perf_counter() - started


def _truth(records: Sequence[ClipRecord], labels: ActionLabels) -> Array:
    """(N, A) as in `SavedScores`; single-label clips count with the first of their labels that is known."""
    if labels.multi_label:
        return np.stack([labels.target(r.labels) if r.labels else np.full(len(labels.names), -1) for r in records]).astype(np.int8)
    first = [next((labels.names.index(label) for label in record.labels if label in labels.names), -1) for record in records]
    return one_hot(np.array(first), len(labels.names))

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
from parsing.types import Array, Frame
from recognizers.labels import ActionLabels
from recognizers.scores import SavedScores, one_hot
from recognizers.superres.scaling import Scaling
from recognizers.video import VideoRecognizer

log = logging.getLogger(__name__)


def score_clips(stage: VideoRecognizer, records: Sequence[ClipRecord], name: str, scaling: Scaling | None = None) -> SavedScores:
    """Logits of every clip, decoded one after the other; those that cannot be read are named.

    Without a clip that cannot be read, single-label scores go on; multi-label clips keep their places, since a submission
    needs an answer for each, and this one gets the mean of all others.

    Raises:
        InputError: no clip can be read.
    """
    logits, seconds = np.full((len(records), len(stage.action_names)), np.nan), np.zeros(len(records))
    for row, record in enumerate(records):
        try:
            logits[row], seconds[row] = clip_logits(stage, record.path, scaling)
        except InputError as error:
            log.warning("%s; %s", error, "it gets the mean of all other clips" if stage.labels.multi_label else "left out")
    lost = np.isnan(logits).any(1)
    if lost.all():
        raise InputError(f"{name}: none of {len(records)} clips can be read")
    if lost.any():
        log.warning("%d of %d clips could not be read", int(lost.sum()), len(records))
    logits[lost] = logits[~lost].mean(0)
    kept = np.ones(len(records), bool) if stage.labels.multi_label else ~lost
    videos, disjoint = np.array([record.name for record in records]), np.array([record.scene_disjoint for record in records])
    columns = videos, _truth(records, stage.labels), logits, seconds, disjoint
    videos, truth, logits, seconds, disjoint = (column[kept] for column in columns)
    return SavedScores(name, videos, np.array(stage.action_names), truth, logits, seconds, disjoint, stage.labels.multi_label)


def _truth(records: Sequence[ClipRecord], labels: ActionLabels) -> Array:
    """(N, A) as in `SavedScores`; single-label clips count with the first of their labels that is known."""
    if labels.multi_label:
        return np.stack([labels.target(r.labels) if r.labels else np.full(len(labels.names), -1) for r in records]).astype(np.int8)
    first = [next((labels.names.index(label) for label in record.labels if label in labels.names), -1) for record in records]
    return one_hot(np.array(first), len(labels.names))


def clip_logits(stage: VideoRecognizer, path: Path, scaling: Scaling | None = None) -> tuple[Array, float]:
    """(A,) logits, averaged over clips and views, and the seconds that the networks took.

    Raises:
        InputError: the clip cannot be read.
    """
    source = open_source(path)
    num_frames = source.num_frames
    if not num_frames:
        raise InputError(f"{path}: holds no frame")
    sampled = stage.clips(num_frames)
    wanted = np.concatenate(sampled)
    if scaling is None:
        frames = source.at(wanted)
        started = time.perf_counter()
    else:
        facts = source.facts
        frames = source.at(scaling.needed(wanted.tolist(), num_frames, (facts.height, facts.width)))
        started = time.perf_counter()
        frames = scale_frames(scaling, frames, wanted)
    logits = stage.logits([[frames[int(index)] for index in clip] for clip in sampled]).mean(0)
    return np.asarray(logits), time.perf_counter() - started


def scale_frames(scaling: Scaling, frames: dict[int, Frame], wanted: Array) -> dict[int, Frame]:
    """The wanted frames as the recognizer sees them."""
    images = scaling.some({index: frame.image for index, frame in frames.items()}, wanted.tolist())
    return {index: Frame(frames[index].video, index, frames[index].time_s, image) for index, image in images.items()}

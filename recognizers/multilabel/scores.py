"""Saved scores of clips with several labels, and ensembles of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from parsing.datasets.tinyvirat import TinyClip, multi_hot
from parsing.errors import InputError
from parsing.types import Array
from recognizers.multilabel.thresholds import SMALLEST, Mix, check_labelled
from recognizers.scores import FOLDS, check_shapes, load_columns, rows_of, save_columns


@dataclass(frozen=True, eq=False)
class MultiLabelScores:
    """Logits of N clips.

    Args:
        name: what made them.
        videos: (N,) paths `<video>/<id>.mp4`, as in the annotations.
        classes: (C,) names.
        truth: (N, C) multi-hot, -1 in the whole row where labels are not known.
        logits: (N, C) before the sigmoid, averaged over clips and views.
        seconds: (N,) that the network took for each.
    """

    name: str
    videos: Array
    classes: Array
    truth: Array
    logits: Array
    seconds: Array

    @property
    def ids(self) -> list[str]:
        """Of the clips: the names of their files."""
        return [PurePosixPath(video).stem for video in self.videos.tolist()]

    def save(self, path: Path) -> None:
        """Write an `.npz` that holds no objects."""
        save_columns(self, path)

    @classmethod
    def load(cls, path: Path) -> MultiLabelScores:
        """Raises InputError: the file is missing, or holds no such scores."""
        scores = cls(**load_columns(path, cls.__dataclass_fields__, "multi-label scores"))
        check_shapes(path, scores.logits, scores.videos, scores.classes, (scores.seconds,))
        if scores.truth.shape != scores.logits.shape:
            raise InputError(f"{path}: its columns disagree: truth {scores.truth.shape}, logits {scores.logits.shape}")
        return scores

    def probabilities_of(self, videos: Sequence[str], actions: Sequence[str], path: Path) -> Array:
        """(N, C) probabilities of videos, for what learns from them.

        Raises:
            InputError: the scores are of other classes, or lack a video.
        """
        _check_equal(path, "the training", "classes", self.classes.tolist(), list(actions))
        return np.asarray(expit(self.logits[rows_of(self.videos, videos, path)]), np.float32)

    def of_clips(self, clips: Sequence[TinyClip], classes: Sequence[str], path: Path) -> MultiLabelScores:
        """The scores in the order of the annotations, with their truth.

        Raises:
            InputError: classes, clips or labels differ; names the first that does.
        """
        _check_equal(path, "the class map", "classes", self.classes.tolist(), list(classes))
        rows = {clip_id: row for row, clip_id in enumerate(self.ids)}
        _check_equal(path, "the annotations", "clips", sorted(self.ids), sorted(clip.id for clip in clips))
        order = [rows[clip.id] for clip in clips]
        truth, known = multi_hot(clips, classes), self.truth[order]
        differs = ((known >= 0) & (truth >= 0) & (known != truth)).any(1)
        if differs.any():
            raise InputError(f"{path}: clip {clips[int(differs.argmax())].id} was scored under other labels than the annotations give")
        videos = np.array([clip.path for clip in clips])
        return replace(self, videos=videos, truth=truth, logits=self.logits[order], seconds=self.seconds[order])


def check_same(members: Sequence[MultiLabelScores], paths: Sequence[Path]) -> None:
    """Raises InputError where members scored other clips or classes than the first, or two have one name."""
    for member, path in zip(members[1:], paths[1:], strict=True):
        _check_equal(path, str(paths[0]), "classes", member.classes.tolist(), members[0].classes.tolist())
        _check_equal(path, str(paths[0]), "clips", member.ids, members[0].ids)
    names = [member.name for member in members]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(f"{paths[number]}: scores of {name!r} again, as in {paths[names.index(name)]}; expected each member once")


def folds_of(videos: Array) -> Array:
    """(N,) fold of each clip; clips of one source video, the folder in `<video>/<id>.mp4`, stay together if these are enough."""
    sources = [str(PurePosixPath(video).parent) for video in videos.tolist()]
    if len(set(sources)) < FOLDS:
        sources = videos.tolist()
    return np.asarray(np.unique(sources, return_inverse=True)[1] % FOLDS)


def mixed(members: Sequence[MultiLabelScores], weights: Array, mix: Mix = "logits") -> Array:
    """(N, C) probabilities of the ensemble: weighted mean of the members' logits, or of their probabilities.

    Args:
        weights: (M,), or (N, M) for each clip its own.
    """
    logits = np.stack([member.logits for member in members], -1)
    if mix == "logits":
        return np.asarray(expit(_weighted(logits, weights)))
    return _weighted(expit(logits), weights)


def fit_weights(members: Sequence[MultiLabelScores], mix: Mix = "logits", rows: Array | None = None) -> Array:
    """(M,) non-negative weights that sum to one and give the labels the highest likelihood (binary cross-entropy).

    A scale and an offset of the mixed logits are fitted with them and let go: how sure a loss made its networks must not
    decide which of them count, and thresholds are fitted afterwards.

    Args:
        rows: the clips to fit on; None takes all.

    Raises:
        InputError: a clip to fit on has no labels.
    """
    rows = np.arange(len(members[0].videos)) if rows is None else rows
    some = [replace(m, videos=m.videos[rows], truth=m.truth[rows], logits=m.logits[rows], seconds=m.seconds[rows]) for m in members]
    truth = some[0].truth
    check_labelled(truth)
    if len(members) == 1:
        return np.ones(1)

    def loss(free: Array) -> float:
        *shares, scale, offset = free
        found = np.clip(mixed(some, softmax(shares), mix), SMALLEST, 1 - SMALLEST)
        calibrated = np.exp(scale) * logit(found) + offset
        return float(np.where(truth > 0, np.logaddexp(0, -calibrated), np.logaddexp(0, calibrated)).mean())

    best = minimize(loss, np.zeros(len(members) + 2), method="Nelder-Mead", options={"maxiter": 400 * (len(members) + 2)})
    return np.asarray(softmax(best.x[:-2]))


def cross_fitted(members: Sequence[MultiLabelScores], mix: Mix = "logits") -> Array:
    """(N, C) probabilities of the ensemble, each clip's with weights that were fitted on the other folds."""
    folds = folds_of(members[0].videos)
    weights = np.zeros((len(folds), len(members)))
    for fold in np.unique(folds):
        weights[folds == fold] = fit_weights(members, mix, np.flatnonzero(folds != fold))
    return mixed(members, weights, mix)


def _weighted(values: Array, weights: Array) -> Array:
    return np.asarray(np.einsum("ncm,nm->nc", values, np.broadcast_to(weights, (len(values), values.shape[-1]))))


def _check_equal(path: Path, other: str, what: str, own: list[str], expected: list[str]) -> None:
    if own == expected:
        return
    more, lost = sorted(set(own) - set(expected)), sorted(set(expected) - set(own))
    if more or lost:
        raise InputError(f"{path}: other {what} than {other}: {(more or lost)[0]!r} is {'too much' if more else 'missing'}")
    twice = len(own) != len(expected)
    raise InputError(f"{path}: other {what} than {other}: {'one stands twice' if twice else 'their order differs'}")

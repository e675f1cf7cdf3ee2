"""Saved scores of videos: what a recognizer said of each, so that ensembles need not run networks again."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from parsing.errors import InputError
from parsing.files import atomic
from parsing.types import Array

FOLDS = 5


@dataclass(frozen=True, eq=False)
class SavedScores:
    """Logits of N videos.

    Args:
        name: what made them.
        videos: (N,) names. actions: (A,) names.
        labels: (N,) ids of the true actions, -1 where unknown.
        disjoint: (N,) whether no training clip shows the video's scene.
        logits: (N, A) averaged over clips and views.
        seconds: (N,) that the networks took for each.
    """

    name: str
    videos: Array
    actions: Array
    labels: Array
    disjoint: Array
    logits: Array
    seconds: Array

    def save(self, path: Path) -> None:
        """Write an `.npz` that holds no objects."""
        save_columns(self, path)

    @classmethod
    def load(cls, path: Path) -> SavedScores:
        """Raises InputError: the file is missing, or holds no scores."""
        scores = cls(**load_columns(path, cls.__dataclass_fields__, "saved scores"))
        check_shapes(path, scores.logits, scores.videos, scores.actions, (scores.labels, scores.disjoint, scores.seconds))
        return scores

    def probabilities_of(self, videos: Sequence[str], actions: Sequence[str], path: Path) -> Array:
        """(N, A) probabilities of videos, for what learns from them.

        Raises:
            InputError: the scores are of other actions, or lack a video.
        """
        if self.actions.tolist() != list(actions):
            odd = sorted(set(self.actions.tolist()) ^ set(actions)) or ["their order"]
            raise InputError(f"{path}: scores of other actions: {odd[0]!r}")
        return np.asarray(softmax(self.logits[rows_of(self.videos, videos, path)], axis=1), np.float32)


def save_columns(scores: Any, path: Path) -> None:
    """Write the fields of a dataclass of arrays with a `name`."""
    columns: dict[str, Any] = {key: np.array(getattr(scores, key)) for key in scores.__dataclass_fields__}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns)


def load_columns(path: Path, keys: Iterable[str], what: str) -> dict[str, Any]:
    """The fields, `name` as text; raises InputError where the file is missing or holds something else."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return {key: str(saved[key]) if key == "name" else saved[key] for key in keys}
    except FileNotFoundError:
        raise InputError(f"{path}: saved scores not found") from None
    except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a file of {what} ({' '.join(str(error).split())[:80]})") from None


def check_shapes(path: Path, logits: Array, videos: Array, actions: Array, columns: Iterable[Array]) -> None:
    """Raises InputError where logits are not finite numbers of every video and action, or (N,) columns are of other videos."""
    shape = videos.shape + actions.shape
    if len(shape) != 2 or logits.shape != shape or any(column.shape != shape[:1] for column in columns):
        raise InputError(f"{path}: its columns disagree: videos {videos.shape}, logits {logits.shape}")
    if logits.dtype.kind != "f" or not np.isfinite(logits).all():
        raise InputError(f"{path}: a logit is not a finite number")


def rows_of(known: Array, videos: Sequence[str], path: Path) -> list[int]:
    """Where each video stands; raises InputError where scores lack one, or have two of one name."""
    rows = {video: row for row, video in enumerate(known.tolist())}
    if len(rows) < len(known):
        twice = next(video for row, video in enumerate(known.tolist()) if rows[video] != row)
        raise InputError(f"{path}: two clips are called {twice!r}; expected folders and files of their own names")
    lost = [video for video in videos if video not in rows]
    if lost:
        raise InputError(f"{path}: no scores of {len(lost)} of {len(videos)} clips, the first {lost[0]!r}")
    return [rows[video] for video in videos]


def check_same(members: Sequence[SavedScores], paths: Sequence[Path]) -> None:
    """Raises InputError where members scored other videos or actions than the first; names the first that differs."""
    for member, path in zip(members[1:], paths[1:], strict=True):
        for what in ("actions", "videos"):
            own, first = getattr(member, what).tolist(), getattr(members[0], what).tolist()
            if own != first:
                odd = sorted(set(own) ^ set(first)) or ["their order"]
                raise InputError(f"{path}: other {what} than {paths[0]}: {odd[0]!r}")


def mixed(members: Sequence[SavedScores], weights: Array) -> Array:
    """(N, A) weighted mean of the members' logits, each brought to mean 0: before the softmax, as the VIPriors report does."""
    return np.asarray(sum(w * (m.logits - m.logits.mean(1, keepdims=True)) for w, m in zip(weights, members, strict=True)))


def fit_weights(members: Sequence[SavedScores], rows: Array | None = None) -> Array:
    """(M,) non-negative weights that sum to one and give the true labels the highest likelihood.

    A temperature is fitted with them and let go: how sure a training made its network must not decide how much it counts.

    Args:
        rows: the videos to fit on; None takes all that have a label.
    """
    labels = members[0].labels
    rows = np.flatnonzero(labels >= 0) if rows is None else rows
    if len(members) == 1 or not len(rows):
        return np.full(len(members), 1 / len(members))
    centred = np.stack([m.logits[rows] - m.logits[rows].mean(1, keepdims=True) for m in members])

    def loss(free: Array) -> float:
        *shares, scale = free
        found = log_softmax(np.exp(scale) * np.tensordot(softmax(shares), centred, 1), axis=1)
        return float(-found[np.arange(len(rows)), labels[rows]].mean())

    best = minimize(loss, np.zeros(len(members) + 1), method="Nelder-Mead", options={"maxiter": 400 * (len(members) + 1)})
    return np.asarray(softmax(best.x[:-1]))


def cross_fitted(members: Sequence[SavedScores]) -> Array:
    """(N, A) logits of the ensemble, each video's with weights that were fitted on the other folds."""
    n = len(members[0].videos)
    fold = np.arange(n) % FOLDS
    logits = np.zeros_like(members[0].logits, dtype=float)
    labelled = members[0].labels >= 0
    for k in range(FOLDS):
        weights = fit_weights(members, np.flatnonzero((fold != k) & labelled))
        logits[fold == k] = mixed(members, weights)[fold == k]
    return logits


def early_exit(members: Sequence[SavedScores], weights: Array, margin: float) -> tuple[Array, float]:
    """Ask members one after the other, cheapest first, and stop once the best action leads by `margin` in probability.

    Returns:
        (N, A) logits, and the share of the members' seconds that was saved.
    """
    order = np.argsort([member.seconds.mean() for member in members])
    logits = np.zeros_like(members[0].logits, dtype=float)
    asked = np.ones(len(logits), bool)
    total, used = sum(float(m.seconds.sum()) for m in members), 0.0
    share = 0.0
    for i in order:
        member = members[i]
        share += float(weights[i])
        centred = member.logits - member.logits.mean(1, keepdims=True)
        logits[asked] += weights[i] * centred[asked]
        used += float(member.seconds[asked].sum())
        best = np.sort(softmax(logits / share, axis=1), axis=1)
        asked = asked & (best[:, -1] - best[:, -2] < margin)
    return logits, 1 - used / total if total else 0.0


def calibration(logits: Array, labels: Array, bins: int = 10) -> dict[str, object]:
    """Expected calibration error, and for each bin of confidence its share right, mean confidence and number of videos."""
    probabilities = softmax(logits, axis=1)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [
        {"accuracy": float(right[here].mean()), "confidence": float(confidence[here].mean()), "videos": int(here.sum())}
        for b in range(bins)
        if (here := which == b).any()
    ]
    error = sum(abs(row["accuracy"] - row["confidence"]) * row["videos"] for row in rows) / max(1, len(labels))
    return {"expected_calibration_error": float(error), "bins": rows}

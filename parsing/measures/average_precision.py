"""Average precision of ranked scores: how well one class, or one state, is told from the rest."""

from __future__ import annotations

import numpy as np

from parsing.types import Array


def precision_recall(scores: Array, truth: Array) -> tuple[Array, Array]:
    """Precision and recall of one class at each of its distinct scores, the highest first.

    Args:
        scores: (N,). truth: (N,) bool.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # items of equal scores come in together
    right = np.cumsum(truth[order])[ends]
    return right / (ends + 1), right / max(1, int(truth.sum()))


def average_precision(scores: Array, truth: Array) -> float | None:
    """The sum of precision over steps of recall, without interpolation; None where nothing holds.

    Args:
        scores: (N,). truth: (N,) bool or 0 and 1.
    """
    truth = np.asarray(truth, bool)
    if not truth.any():
        return None
    precision, recall = precision_recall(scores, truth)
    return float((np.diff(recall, prepend=0) * precision).sum())


def average_precisions(scores: Array, truth: Array) -> list[float | None]:
    """The average precision of each of C classes.

    Args:
        scores: (N, C). truth: (N, C) multi-hot.
    """
    return [average_precision(column, holds) for column, holds in zip(scores.T, truth.T, strict=True)]


def mean_average_precision(scores: Array, truth: Array) -> float | None:
    """The mean over the classes that occur in the (N, C) truth; None without one."""
    found = [value for value in average_precisions(scores, truth) if value is not None]
    return float(np.mean(found)) if found else None

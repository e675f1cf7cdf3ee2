"""How well clips with several labels are told: F1 over classes and labels, average precision, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from parsing.types import Array

COLUMNS = 6  # of panels in a figure


def f1_figures(predicted: Array, truth: Array, classes: Sequence[str]) -> dict[str, Any]:
    """F1 of labels over N clips.

    F1 is 2 TP / (2 TP + FP + FN). Where a denominator is 0, a figure is 0: a class that no clip shows counts as 0 in
    `macro_f1` whether or not it is predicted, as in scikit-learn with `zero_division=0`, which the challenge scores with.

    Args:
        predicted: (N, C) bool.
        truth: (N, C) multi-hot.

    Returns:
        `macro_f1` over all classes; `macro_f1_of_shown` over those that a clip shows, and how many no clip does,
        `num_empty_classes`; `micro_f1` over all labels; and per class F1, precision, recall, `support` (clips that show
        it) and `num_predicted`.
    """
    said, shown = np.asarray(predicted, bool), np.asarray(truth, bool)
    right, support, num_predicted = (said & shown).sum(0), shown.sum(0), said.sum(0)
    f1 = _ratio(2 * right, support + num_predicted)
    precision, recall = _ratio(right, num_predicted), _ratio(right, support)
    columns = zip(classes, f1, precision, recall, support, num_predicted, strict=True)
    return {
        "macro_f1": float(f1.mean()),
        "macro_f1_of_shown": float(f1[support > 0].mean()) if support.any() else 0.0,
        "num_empty_classes": int((support == 0).sum()),
        "micro_f1": float(_ratio(2 * right.sum(), support.sum() + num_predicted.sum())),
        "num_clips": len(shown),
        "per_class": {
            name: {"f1": float(f), "precision": float(p), "recall": float(r), "support": int(n), "num_predicted": int(m)}
            for name, f, p, r, n, m in columns
        },
    }


def precision_recall(scores: Array, truth: Array) -> tuple[Array, Array]:
    """Precision and recall of one class at each of its distinct scores, the highest first.

    Args:
        scores: (N,). truth: (N,) bool, at least one true.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # clips of equal scores come in together
    right = np.cumsum(truth[order])[ends]
    return right / (ends + 1), right / max(1, int(truth.sum()))


def average_precision(scores: Array, truth: Array) -> list[float | None]:
    """For each class the sum of precision over steps of recall, without interpolation; None where no clip shows it.

    Args:
        scores: (N, C). truth: (N, C) multi-hot.
    """
    found: list[float | None] = []
    for column, shown in zip(scores.T, np.asarray(truth, bool).T, strict=True):
        precision, recall = precision_recall(column, shown)
        found.append(float((np.diff(recall, prepend=0) * precision).sum()) if shown.any() else None)
    return found


def mean_average_precision(scores: Array, truth: Array) -> float | None:
    """Over the classes that a clip shows; None without one."""
    found = [value for value in average_precision(scores, truth) if value is not None]
    return float(np.mean(found)) if found else None


def pr_figure(scores: Array, truth: Array, classes: Sequence[str], predicted: Array) -> Figure:
    """A panel for each class, the most frequent first: its curve of precision over recall, and where its labels stand.

    Args:
        scores: (N, C) probabilities. truth: (N, C) multi-hot. predicted: (N, C) bool.
    """
    shown, found = np.asarray(truth, bool), average_precision(scores, truth)
    rows = math.ceil(len(classes) / COLUMNS)
    figure = Figure(figsize=(2.3 * COLUMNS, 2.3 * rows), layout="constrained")
    for place, c in enumerate(np.argsort(-shown.sum(0), kind="stable")):
        axes = figure.add_subplot(rows, COLUMNS, place + 1, xlim=(0, 1.02), ylim=(0, 1.05))
        value = found[c]
        axes.set_title(f"{classes[c]} ({int(shown[:, c].sum())})\nAP {'-' if value is None else format(value, '.3f')}", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if value is not None:
            precision, recall = precision_recall(scores[:, c], shown[:, c])
            axes.step([0, *recall], [precision[0], *precision], where="pre")
            said = predicted[:, c]
            if said.any():
                axes.plot(shown[said, c].sum() / shown[:, c].sum(), shown[said, c].mean(), "o", color="tab:red", markersize=5)
    figure.supxlabel("recall (dot: the labels that were given)", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    return figure


def _ratio(upper: Array, lower: Array) -> Array:
    return np.asarray(np.divide(upper, lower, out=np.zeros(np.shape(upper)), where=np.asarray(lower) > 0))

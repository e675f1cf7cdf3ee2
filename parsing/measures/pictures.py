"""Pictures of measures: confusion, and precision over recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from parsing.files import atomic
from parsing.measures.average_precision import average_precision, precision_recall
from parsing.types import Array

MOST_LABELS, MOST_COUNTS = 40, 16  # with more classes their names, or the counts in the cells, cannot be read
COLUMNS = 6  # of panels in a figure


def confusion_figure(counts: Array, true_names: Sequence[str], predicted_names: Sequence[str], title: str = "") -> Figure:
    """(N, M) counts as a picture, each row in shares of its truth."""
    total = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(total, 1)
    side = max(4.0, 0.32 * (len(true_names) + 5))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="true", title=title)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
    if len(predicted_names) <= MOST_LABELS:
        rows = [f"{name} ({int(n)})" for name, n in zip(true_names, total[:, 0], strict=True)]
        axes.set_xticks(range(len(predicted_names)), predicted_names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
    for row, column in np.argwhere(counts > 0).tolist() if len(predicted_names) <= MOST_COUNTS else ():
        colour = "black" if shares[row, column] > 0.5 else "white"
        axes.text(column, row, str(int(counts[row, column])), ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, label="share of the truth")
    return figure


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision over recall of one class.

    Args:
        title: of its panel.
        precision, recall: (K,) in order of recall; empty where the class does not occur.
        point: recall and precision of the labels that were given in the end, where there are such labels.
    """

    title: str
    precision: Array
    recall: Array
    point: tuple[float, float] | None = None


def curves_of_labels(scores: Array, truth: Array, classes: Sequence[str], predicted: Array) -> list[Curve]:
    """A curve for each class, the most frequent first, with the point of its labels.

    Args:
        scores: (N, C) probabilities. truth: (N, C) multi-hot. predicted: (N, C) bool.
    """
    shown = np.asarray(truth, bool)
    return [
        _curve_of_labels(scores[:, c], shown[:, c], classes[c], predicted[:, c]) for c in np.argsort(-shown.sum(0), kind="stable").tolist()
    ]


def _curve_of_labels(scores: Array, shown: Array, name: str, chosen: Array) -> Curve:
    value, count = average_precision(scores, shown), int(shown.sum())
    if value is None:
        return Curve(f"{name} (0)\nAP -", np.zeros(0), np.zeros(0))
    point = (float(shown[chosen].sum() / count), float(shown[chosen].mean())) if chosen.any() else None
    return Curve(f"{name} ({count})\nAP {value:.3f}", *precision_recall(scores, shown), point)


def precision_recall_figure(curves: Sequence[Curve], title: str = "") -> Figure:
    """A panel for each curve."""
    columns = max(1, min(COLUMNS, len(curves)))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(2.3 * columns, 2.3 * rows), layout="constrained")
    for place, curve in enumerate(curves, 1):
        _draw(curve, figure.add_subplot(rows, columns, place, xlim=(0, 1.02), ylim=(0, 1.05)))
    dots = " (dot: the labels that were given)" if any(curve.point for curve in curves) else ""
    figure.suptitle(title)
    figure.supxlabel(f"recall{dots}", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    return figure


def _draw(curve: Curve, axes: Axes) -> None:
    axes.set_title(curve.title, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if len(curve.recall):
        axes.step([0, *curve.recall], [curve.precision[0], *curve.precision], where="pre")
    if curve.point is not None:
        axes.plot(*curve.point, "o", color="tab:red", markersize=5)


def save_png(figure: Figure, path: Path) -> None:
    """A PNG, whole or not at all."""
    with atomic(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))

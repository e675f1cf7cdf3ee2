"""Figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from parsing.files import atomic
from parsing.types import Array

MOST_LABELS = 40  # with more of them names cannot be read


def confusion_figure(counts: Array, true_names: Sequence[str], predicted_names: Sequence[str]) -> Figure:
    """(N, M) counts as a picture, each row in shares of its truth."""
    total = counts.sum(1, keepdims=True)
    side = max(4.0, 0.32 * (len(true_names) + 5))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="true")
    image = axes.imshow(counts / np.maximum(total, 1), vmin=0, vmax=1, cmap="viridis")
    if len(predicted_names) <= MOST_LABELS:
        rows = [f"{name} ({int(n)})" for name, n in zip(true_names, total[:, 0], strict=True)]
        axes.set_xticks(range(len(predicted_names)), predicted_names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
    figure.colorbar(image, label="share of the truth")
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """A PNG, whole or not at all."""
    with atomic(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))

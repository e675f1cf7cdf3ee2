"""The report of a submission as files: JSON, the curve of accuracy over PSC, and the confusion of states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from parsing.figures import save_png
from parsing.files import atomic

MOST_LABELS = 40  # with more states than that their names cannot be read


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write `path`, and `NAME_curve.png` and `NAME_confusion.png` beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    save_png(curve(report), path.with_name(f"{path.stem}_curve.png"))
    save_png(confusion(report), path.with_name(f"{path.stem}_confusion.png"))


def curve(report: dict[str, Any]) -> Figure:
    """Action accuracy of the videos whose PSC reaches a threshold; the score is the area under it."""
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    title = f"score {report['score']:.4f}, {report['num_videos']} videos"
    axes = figure.add_subplot(xlabel="PSC threshold", ylabel="accuracy", title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes.plot(report["curve"]["psc_threshold"], report["curve"]["accuracy"])
    axes.fill_between(report["curve"]["psc_threshold"], report["curve"]["accuracy"], alpha=0.15)
    axes.axhline(report["action_accuracy"], linestyle=":", color="grey", label=f"action accuracy {report['action_accuracy']:.3f}")
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def confusion(report: dict[str, Any]) -> Figure:
    """Which state was said for which, each row in shares of its truth; the last column lacks a part box that is near."""
    states, counts = report["confusion"]["states"], np.array(report["confusion"]["counts"], float)
    counts = counts.reshape(len(states), len(states) + 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 0.32 * (len(states) + 4))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="true")
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
    if len(states) <= MOST_LABELS:
        axes.set_xticks(range(len(states) + 1), [*states, "no box near"], rotation=90)
        axes.set_yticks(range(len(states)), [f"{name} ({int(n)})" for name, n in zip(states, counts.sum(1), strict=True)])
    figure.colorbar(image, label="share of the true state")
    return figure

"""A report of detections as files: figures, COCO documents, precision-recall curves and confusions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
from matplotlib import colormaps
from matplotlib.figure import Figure

from detectors.evaluation import Item, figures_by_source
from parsing.files import atomic
from parsing.measures.average_precision import Evaluation, coco_dataset, coco_results, evaluate_boxes
from parsing.measures.pictures import save_png
from parsing.types import Array

CONFUSION_SCORE, CONFUSION_IOU = 0.4, 0.5


def report_files(folder: Path) -> list[Path]:
    """What `write_report` writes."""
    return [folder / name for name in ("report.json", "results.json", "truth.json", "pr_curves.png", "confusion.png")]


def write_report(items: Sequence[Item], class_names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write `report_files`: figures, documents that pycocotools reads, curves and confusions.

    Returns:
        The figures of report.json: over all items, and by source.
    """
    figures = figures_by_source(items, class_names)
    truths, found = [item.truth for item in items], [item.found for item in items]
    _write_json(folder / "report.json", figures)
    _write_json(folder / "truth.json", coco_dataset(truths, class_names))
    _write_json(folder / "results.json", coco_results(found))
    evaluation = evaluate_boxes(truths, found, class_names)
    save_png(precision_recall(evaluation), folder / "pr_curves.png")
    save_png(confusion(items, class_names), folder / "confusion.png")
    return figures


def precision_recall(evaluation: Evaluation) -> Figure:
    """Precision over recall of each class that occurs, at IoU 0.5."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot(xlabel="recall", ylabel="precision", title="IoU 0.50", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))  # more classes than the default has colours
    recall = np.linspace(0, 1, evaluation.precision.shape[1])
    for i, name in enumerate(evaluation.class_names):
        precision = evaluation.precision[0, :, i, 0, -1]
        if (precision > -1).any():
            axes.plot(recall, precision, label=f"{name} {precision.mean():.3f}")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8, title="AP50")
    return figure


def confusion_matrix(items: Sequence[Item], class_names: Sequence[str]) -> Array:
    """(C + 1, C + 1) counts at IoU 0.5 and score 0.4: rows are the truth, columns what was found; the last is nothing."""
    targets = [sv.Detections(xyxy=i.truth.xyxy[~i.truth.crowd], class_id=i.truth.class_ids[~i.truth.crowd]) for i in items]
    found = [sv.Detections(xyxy=b, confidence=s, class_id=c.astype(int)) for b, s, c in (i.found for i in items)]
    matrix = sv.ConfusionMatrix.from_detections(found, targets, list(class_names), CONFUSION_SCORE, CONFUSION_IOU)
    return np.asarray(matrix.matrix, int)


def confusion(items: Sequence[Item], class_names: Sequence[str]) -> Figure:
    """The confusion matrix, each row in shares of its truth."""
    counts = confusion_matrix(items, class_names)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [*class_names, "nothing"]
    figure = Figure(figsize=(1.5 + 0.6 * len(names), 1.2 + 0.55 * len(names)), layout="constrained")
    axes = figure.add_subplot(xlabel="found", ylabel="truth", title=f"IoU {CONFUSION_IOU}, score {CONFUSION_SCORE}")
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, column in np.argwhere(counts > 0).tolist():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour)
    return figure


def _write_json(path: Path, value: Any) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

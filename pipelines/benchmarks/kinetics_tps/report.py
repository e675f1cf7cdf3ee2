"""The report of a submission as files: JSON, the curve of accuracy over PSC, and the confusion of states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from parsing.files import atomic
from parsing.measures.pictures import confusion_figure, save_png


def report_files(path: Path) -> list[Path]:
    """What `write_report` writes."""
    return [path, *(path.with_name(f"{path.stem}_{name}.png") for name in ("curve", "confusion"))]


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write `path`, and `NAME_curve.png` and `NAME_confusion.png` beside it."""
    path, curve_path, confusion_path = report_files(path)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    save_png(curve(report), curve_path)
    save_png(confusion(report), confusion_path)


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
    """Which state was said for which; the last column lacks a part box that is near."""
    states = report["confusion"]["states"]
    counts = np.array(report["confusion"]["counts"], float).reshape(len(states), len(states) + 1)
    return confusion_figure(counts, states, [*states, "no box near"])

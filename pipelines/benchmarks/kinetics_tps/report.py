"""`pipelines.evaluate kinetics-tps`: the report of a submission, the curve of accuracy over PSC, and the confusion of states."""

from __future__ import annotations

import os
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from parsing.configs import config
from parsing.console import complain
from parsing.measures.pictures import confusion_figure
from parsing.measures.report import report_files, write_report
from pipelines.options import Option

NOT_PRINTED = ("notes", "videos", "curve", "confusion", "psc_per_action")


@config
class KineticsTpsReport:
    """A submission to Kinetics-TPS, to the letter of its score: figures as JSON, curve and confusion as PNG."""

    gt: Annotated[Path, Option("gt_part_result.json and gt_vid_result.json, or annotations", "FOLDER")]
    parts: Annotated[Path, Option("pred_part_result.json, in the form of 2021 or 2022", "FILE")]
    actions: Annotated[Path, Option("pred_vid_result.json", "FILE")]
    classes: Annotated[Path | None, Option("list of actions that predictions are checked against", "FILE")] = None
    states: Annotated[Path | None, Option("list of part states that all verbs are checked against", "FILE")] = None
    missing: Annotated[Literal["error", "zero"], Option("of videos in one file only")] = "error"
    workers: Annotated[int, Field(ge=1, le=1024), Option("processes; without, one a core", "N")] = field(
        default_factory=lambda: os.cpu_count() or 1
    )

    def outputs(self, out: Path) -> list[Path]:
        return report_files(out, ("curve", "confusion"))

    def inputs(self) -> list[Path]:
        return []

    def write(self, out: Path) -> dict[str, Any]:
        from parsing.datasets.kinetics_tps.results import read_results, read_truth
        from parsing.vocabulary import read_list
        from pipelines.benchmarks.kinetics_tps.score import evaluate

        found = evaluate(
            read_truth(self.gt),
            read_results(self.parts, self.actions),
            missing=self.missing,
            workers=self.workers,
            actions=read_list(self.classes) if self.classes else (),
            states=read_list(self.states) if self.states else (),
        )
        for note in found["notes"]:
            complain(note)
        write_report(found, out, {"curve": curve(found), "confusion": confusion(found)})
        return {name: value for name, value in found.items() if name not in NOT_PRINTED}


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
    """Which state was predicted for which; the last column lacks a part box that is near."""
    states = report["confusion"]["states"]
    counts = np.array(report["confusion"]["counts"], float).reshape(len(states), len(states) + 1)
    return confusion_figure(counts, states, [*states, "no box near"])

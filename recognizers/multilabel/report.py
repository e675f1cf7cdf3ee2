"""The report of an answer, or of saved scores and their ensemble."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit

from parsing.files import atomic
from parsing.measures.pictures import save_png
from parsing.types import Array
from recognizers.multilabel.groups import NO_GROUPS, ExclusiveGroups, decode
from recognizers.multilabel.metrics import average_precision, f1_figures, mean_average_precision, pr_figure
from recognizers.multilabel.scores import MultiLabelScores, cross_fitted, fit_weights, folds_of, mixed
from recognizers.multilabel.thresholds import SHRINKAGE, Mix, cross_fitted_thresholds

SUMMARY = ("macro_f1", "macro_f1_of_shown", "micro_f1")


@dataclass(frozen=True, eq=False)
class Decoding:
    """How scores become labels in a report.

    Args:
        thresholds, weights: (C,) and (M,), fitted elsewhere; None fits them across folds of the clips of the report.
        groups: of exclusive classes. at_least_one: as in `decode`. shrinkage: of the fit. mix: of the ensemble.
    """

    thresholds: Array | None = None
    weights: Array | None = None
    groups: ExclusiveGroups = NO_GROUPS
    at_least_one: bool = False
    shrinkage: float = SHRINKAGE
    mix: Mix = "logits"


def report_answer(predicted: Array, truth: Array, classes: Sequence[str]) -> dict[str, Any]:
    """Figures of labels that come without scores."""
    return f1_figures(predicted, truth, classes)


def report_scores(members: Sequence[MultiLabelScores], decoding: Decoding) -> tuple[dict[str, Any], Figure]:
    """Figures of each member and of the ensemble, and the curves of the best that is there: the ensemble, or the one member.

    Thresholds and weights are never those of the clips that a figure is of: they are given, or fitted on the other folds.

    Raises:
        InputError: a clip has no labels.
    """
    first = members[0]
    truth, classes = first.truth, first.classes.tolist()
    found: dict[str, Any] = {"num_clips": len(truth), "num_classes": len(classes)}
    found["empty_classes"] = [name for name, count in zip(classes, truth.sum(0), strict=True) if not count]
    probabilities = [expit(member.logits) for member in members]
    found["members"] = {m.name: _figures(p, first, decoding) | _seconds(m) for m, p in zip(members, probabilities, strict=True)}
    best = probabilities[0]
    if len(members) > 1:
        given, mix = decoding.weights, decoding.mix
        best = cross_fitted(members, mix) if given is None else mixed(members, given, mix)
        weights = fit_weights(members, mix) if given is None else given
        shares = {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}
        found["ensemble"] = {"mix": mix, "weights": shares, **_figures(best, first, decoding)}
    if decoding.groups.ids:
        found["clips_that_break_a_group"] = decoding.groups.conflicts(truth)
    predicted = decode(best, _thresholds(best, first, decoding), decoding.groups, decoding.at_least_one)
    precisions = average_precision(best, truth)
    found["per_class"] = {
        name: figures | {"average_precision": value}
        for (name, figures), value in zip(f1_figures(predicted, truth, classes)["per_class"].items(), precisions, strict=True)
    }
    return found, pr_figure(best, truth, classes, predicted)


def report_files(folder: Path) -> list[Path]:
    """What `write_report` writes."""
    return [folder / "report.json", folder / "pr_curves.png"]


def write_report(found: dict[str, Any], folder: Path, figure: Figure | None = None) -> None:
    """`report.json` and, with scores, `pr_curves.png`."""
    with atomic(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if figure is not None:
        save_png(figure, folder / "pr_curves.png")


def _figures(probabilities: Array, first: MultiLabelScores, decoding: Decoding) -> dict[str, Any]:
    truth, classes = first.truth, first.classes.tolist()
    fitted = _thresholds(probabilities, first, decoding)
    half = np.full(len(classes), 0.5)
    name = "thresholds_across_folds" if decoding.thresholds is None else "thresholds_given"
    cases = {"threshold_0.5": decode(probabilities, half), name: decode(probabilities, fitted)}
    if decoding.groups.ids:
        cases |= {f"{name}_and_groups": decode(probabilities, fitted, decoding.groups)}
    if decoding.at_least_one:
        cases |= {f"{name}_and_at_least_one": decode(probabilities, fitted, decoding.groups, at_least_one=True)}
    figures = {case: f1_figures(predicted, truth, classes) for case, predicted in cases.items()}
    return {"mean_ap": mean_average_precision(probabilities, truth)} | {
        case: {key: found[key] for key in SUMMARY} for case, found in figures.items()
    }


def _thresholds(probabilities: Array, first: MultiLabelScores, decoding: Decoding) -> Array:
    if decoding.thresholds is not None:
        return decoding.thresholds
    return cross_fitted_thresholds(probabilities, first.truth, folds_of(first.videos), decoding.shrinkage)


def _seconds(member: MultiLabelScores) -> dict[str, float]:
    return {"seconds": float(member.seconds.mean())}

"""Figures of saved scores and their ensemble: F1 at thresholds of several kinds, and average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from parsing.measures.average_precision import average_precisions, mean_average_precision
from parsing.measures.f1 import f1_figures
from parsing.measures.pictures import curves_of_labels, precision_recall_figure
from parsing.types import Array
from recognizers.groups import NO_GROUPS, ExclusiveGroups, decode
from recognizers.scores import Mix, SavedScores, cross_fitted, fit_weights, folds_of, mixed
from recognizers.thresholds import SHRINKAGE, cross_fitted_thresholds

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


def score_members(members: Sequence[SavedScores], decoding: Decoding) -> tuple[dict[str, Any], Figure]:
    """Figures of each member and of the ensemble, and the curves of the best that is there: the ensemble, or the one member.

    Thresholds and weights are never those of the clips that a figure is of: they are given, or fitted on the other folds.

    Raises:
        InputError: a clip has no labels.
    """
    first = members[0]
    truth, classes = first.truth, first.actions.tolist()
    found: dict[str, Any] = {"num_clips": len(truth), "num_classes": len(classes)}
    found["empty_classes"] = [name for name, count in zip(classes, truth.sum(0), strict=True) if not count]
    found["members"] = {m.name: _figures(m.probabilities, first, decoding) | {"seconds": float(m.seconds.mean())} for m in members}
    best = first.probabilities
    if len(members) > 1:
        given, mix = decoding.weights, decoding.mix
        best = cross_fitted(members, mix) if given is None else mixed(members, given, mix)
        weights = fit_weights(members, mix) if given is None else given
        shares = {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}
        found["ensemble"] = {"mix": mix, "weights": shares, **_figures(best, first, decoding)}
    if decoding.groups.ids:
        found["clips_that_break_a_group"] = decoding.groups.conflicts(truth)
    predicted = decode(best, _thresholds(best, first, decoding), decoding.groups, decoding.at_least_one)
    rows = zip(f1_figures(predicted, truth, classes)["per_class"].items(), average_precisions(best, truth), strict=True)
    found["per_class"] = {name: figures | {"average_precision": value} for (name, figures), value in rows}
    return found, precision_recall_figure(curves_of_labels(best, truth, classes, predicted))


def _figures(probabilities: Array, first: SavedScores, decoding: Decoding) -> dict[str, Any]:
    truth, classes = first.truth, first.actions.tolist()
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


def _thresholds(probabilities: Array, first: SavedScores, decoding: Decoding) -> Array:
    if decoding.thresholds is not None:
        return decoding.thresholds
    return cross_fitted_thresholds(probabilities, first.truth, folds_of(first), decoding.shrinkage)

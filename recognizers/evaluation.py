"""Figures and pictures of recognizers on labelled clips, single-label or multi-label, alone or as an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from parsing.errors import InputError
from parsing.measures.accuracy import accuracy_figures
from parsing.measures.average_precision import mean_average_precision
from parsing.measures.calibration import calibration
from parsing.measures.confusion import confusion_counts
from parsing.measures.f1 import f1_figures
from parsing.measures.pictures import confusion_figure, curves_of_labels, precision_recall_figure, save_png
from parsing.types import Array
from recognizers.floor import none_figures
from recognizers.scores import SavedScores, cross_fitted, early_exit, fit_weights, folds_of
from recognizers.thresholds import cross_fitted_thresholds

PICTURES = ("confusion", "pr_curves")  # that `pictures` draws: the first of single-label videos, the second of multi-label ones


def deciding_figures(multi_label: bool) -> tuple[str, ...]:
    """The figures of a training's epochs; the first says which is the best."""
    return ("all.mean_ap", "all.macro_f1", "all.macro_f1_fitted") if multi_label else ("all.top1", "all.top5", "all.mean_class_accuracy")


def write_scores(scores: SavedScores, folder: Path) -> None:
    """Write the scores of validation clips as `val_scores.npz`, under the name of the run's folder, and their pictures."""
    replace(scores, name=folder.resolve().name).save(folder / "val_scores.npz")
    for name, figure in pictures(scores, scores.probabilities).items():
        save_png(figure, folder / f"{name}.png")


def figures(truth: SavedScores, found: Array) -> dict[str, Any]:
    """Figures of (N, A) probabilities over `all` videos whose truth is known.

    Single-label: accuracies, and the same over `scene_disjoint` videos, whose scene no training clip shows. Multi-label:
    mean average precision, F1 at one half, and F1 at thresholds that were fitted on the other folds.
    """
    if truth.multi_label:
        return {"all": _multi_label_figures(truth, found)}
    names, labels = truth.actions.tolist(), truth.labels
    rows = {"all": truth.known, "scene_disjoint": truth.known & truth.disjoint}
    return {name: accuracy_figures(found[here], labels[here], names) for name, here in rows.items()}


def pictures(truth: SavedScores, found: Array) -> dict[str, Figure]:
    """What each action was taken for (single-label), or curves of precision over recall (multi-label)."""
    names = truth.actions.tolist()
    if truth.multi_label:
        return {"pr_curves": precision_recall_figure(curves_of_labels(found, truth.truth, names, found > 0.5))}
    return {"confusion": confusion_figure(_confusion(truth, found), names, names)}


def report(members: Sequence[SavedScores], margin: float, most_answered: float) -> tuple[dict[str, Any], Mapping[str, Figure]]:
    """Figures of each member and of their ensemble, and pictures of the ensemble; with a single member, of that one.

    The weights of the ensemble are never fitted on the video that they are used for.

    Args:
        margin: of the early exit: the lead in probability from which no further single-label member is asked.
        most_answered: share of the videos of the background that may get an answer, for the floor of single-label members.

    Raises:
        InputError: no video has a known label; of multi-label ones, any has none.
    """
    first = members[0]
    if not first.known.any():
        raise InputError(f"{first.name}: no video with a label that the recognizer knows")
    alone = {member.name: figures(first, member.probabilities) | {"seconds": float(member.seconds.mean())} for member in members}
    best = cross_fitted(members) if len(members) > 1 else first.probabilities
    found: dict[str, Any] = {"members": alone, **figures(first, best)}
    weights = fit_weights(members)
    if len(members) > 1:
        found["weights"] = {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}
    if not first.multi_label:
        found |= _single_label_report(members, best, weights, margin)
        known, background = first.known, first.is_background
        if background[first.labels[known]].sum() > 1:
            found["none"] = none_figures(best[known], first.labels[known], background, most_answered)
    return found, pictures(first, best)


def _single_label_report(members: Sequence[SavedScores], best: Array, weights: Array, margin: float) -> dict[str, Any]:
    first = members[0]
    found: dict[str, Any] = {"calibration": calibration(best[first.known], first.labels[first.known])}
    if len(members) > 1:
        exited, saved = early_exit(members, weights, margin)
        found["early_exit"] = {"margin": margin, "share_of_seconds_saved": saved, "top1": figures(first, exited)["all"]["top1"]}
    return found | {"confusion": {"actions": first.actions.tolist(), "counts": _confusion(first, best).tolist()}}


def _multi_label_figures(truth: SavedScores, found: Array) -> dict[str, Any]:
    names, shown = truth.actions.tolist(), truth.truth
    fitted = f1_figures(found > cross_fitted_thresholds(found, shown, folds_of(truth)), shown, names)
    return {
        "mean_ap": mean_average_precision(found, shown) or 0.0,
        "macro_f1": float(f1_figures(found > 0.5, shown, names)["macro_f1"]),
        "macro_f1_fitted": float(fitted["macro_f1"]),
        "micro_f1_fitted": float(fitted["micro_f1"]),
        "num_videos": len(shown),
    }


def _confusion(truth: SavedScores, found: Array) -> Array:
    num = len(truth.actions)
    return confusion_counts(truth.labels[truth.known], found[truth.known].argmax(1), num, num)

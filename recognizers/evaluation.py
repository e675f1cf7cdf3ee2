"""Recognizers on labelled clips: saved scores, and reports of one or of an ensemble."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsing.datasets.clips import ClipRecord
from parsing.errors import InputError
from parsing.files import atomic
from parsing.measures.pictures import confusion_figure, save_png
from parsing.types import Array
from recognizers.metrics import recognition_metrics
from recognizers.scores import SavedScores, calibration, cross_fitted, early_exit, fit_weights
from recognizers.scoring import clip_logits
from recognizers.superres.scaling import Scaling
from recognizers.video import VideoRecognizer

log = logging.getLogger(__name__)


def score_clips(stage: VideoRecognizer, records: Sequence[ClipRecord], name: str, scaling: Scaling | None = None) -> SavedScores:
    """Logits of every clip, decoded one after the other; one that cannot be read is named and left out.

    Raises:
        InputError: no clip can be read.
    """
    rows: list[tuple[str, int, bool, Array, float]] = []
    for record in records:
        try:
            logits, seconds = clip_logits(stage, record.path, scaling)
        except InputError as error:
            log.warning("%s; left out", error)
            continue
        known = [stage.action_names.index(label) for label in record.labels if label in stage.action_names]
        rows.append((record.name, known[0] if known else -1, record.scene_disjoint, logits, seconds))
    if not rows:
        raise InputError(f"{name}: none of {len(records)} clips can be read")
    if len(rows) < len(records):
        log.warning("%d of %d clips left out", len(records) - len(rows), len(records))
    videos, labels, disjoint, logits_of, took = zip(*rows, strict=True)
    columns = np.array(videos), np.array(stage.action_names), np.array(labels), np.array(disjoint), np.stack(logits_of), np.array(took)
    return SavedScores(name, *columns)


def figures(scores: SavedScores, logits: Array | None = None) -> dict[str, Any]:
    """Figures over all videos with a known label (`all`) and over those with a scene of their own (`scene_disjoint`).

    Args:
        logits: (N, A) other than the scores' own.
    """
    logits = scores.logits if logits is None else logits
    known, names = scores.labels >= 0, scores.actions.tolist()
    rows = {"all": known, "scene_disjoint": known & scores.disjoint}
    return {name: recognition_metrics(logits[here], scores.labels[here], names) for name, here in rows.items()}


def save_confusion(scores: SavedScores, path: Path) -> None:
    """A picture of what each action was taken for."""
    known, names = scores.labels >= 0, scores.actions.tolist()
    counts = _confusion(scores.logits[known], scores.labels[known])
    save_png(confusion_figure(counts, names, names), path)


def report(members: Sequence[SavedScores], margin: float) -> dict[str, Any]:
    """Figures of each member and of their ensemble over the videos that have a label.

    Args:
        margin: of the early exit: the lead in probability from which no further member is asked.
    """
    first = members[0]
    known = first.labels >= 0
    if not known.any():
        raise InputError(f"{first.name}: no video with a label that the recognizer knows")
    found: dict[str, Any] = {"members": {m.name: figures(m) | {"seconds": float(m.seconds.mean())} for m in members}}
    logits = cross_fitted(members) if len(members) > 1 else first.logits
    weights = fit_weights(members)
    found |= figures(first, logits)
    found["calibration"] = calibration(logits[known], first.labels[known])
    if len(members) > 1:
        found["weights"] = {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}
        exited, saved = early_exit(members, weights, margin)
        found["early_exit"] = {"margin": margin, "share_of_seconds_saved": saved, "top1": figures(first, exited)["all"]["top1"]}
    found["confusion"] = {"actions": first.actions.tolist(), "counts": _confusion(logits[known], first.labels[known]).tolist()}
    return found


def report_files(folder: Path) -> list[Path]:
    """What `write_report` writes."""
    return [folder / "report.json", folder / "confusion.png"]


def write_report(found: dict[str, Any], folder: Path) -> None:
    """`report.json` and `confusion.png`."""
    with atomic(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    actions = found["confusion"]["actions"]
    save_png(confusion_figure(np.array(found["confusion"]["counts"]), actions, actions), folder / "confusion.png")


def _confusion(logits: Array, labels: Array) -> Array:
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (labels, logits.argmax(1)), 1)
    return counts

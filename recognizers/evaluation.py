"""Recognizers on labelled clips: saved scores, and reports of one or of an ensemble."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsing.errors import InputError
from parsing.figures import confusion_figure, save_png
from parsing.files import atomic
from parsing.types import Array
from parsing.video import count_frames, read_nearest
from recognizers.lists import ClipRecord
from recognizers.metrics import recognition_metrics
from recognizers.scores import SavedScores, calibration, cross_fitted, early_exit, fit_weights
from recognizers.video import VideoRecognizer

log = logging.getLogger(__name__)


def score_clips(stage: VideoRecognizer, records: Sequence[ClipRecord], name: str) -> SavedScores:
    """Logits of every clip; one that cannot be read is named and left out.

    Raises:
        InputError: no clip can be read.
    """
    rows: list[tuple[str, int, bool, Array, float]] = []
    for record in records:
        try:
            sampled = stage.sample(count_frames(record.path))
            frames = read_nearest(record.path, np.concatenate(sampled))
        except InputError as error:
            log.warning("%s; left out", error)
            continue
        started = time.perf_counter()
        logits = stage.logits([[frames[int(index)] for index in clip] for clip in sampled]).mean(0)
        label = stage.action_names.index(record.label) if record.label in stage.action_names else -1
        rows.append((record.path.name, label, record.scene_disjoint, logits, time.perf_counter() - started))
    if not rows:
        raise InputError(f"{name}: none of {len(records)} clips can be read")
    if len(rows) < len(records):
        log.warning("%d of %d clips left out", len(records) - len(rows), len(records))
    videos, labels, disjoint, logits_of, seconds = zip(*rows, strict=True)
    columns = np.array(videos), np.array(stage.action_names), np.array(labels), np.array(disjoint), np.stack(logits_of), np.array(seconds)
    return SavedScores(name, *columns)


def report(members: Sequence[SavedScores], margin: float) -> dict[str, Any]:
    """Figures of each member and of their ensemble over the videos that have a label.

    Args:
        margin: of the early exit: the lead in probability from which no further member is asked.
    """
    first = members[0]
    known = first.labels >= 0
    if not known.any():
        raise InputError(f"{first.name}: no video with a label that the recognizer knows")
    found: dict[str, Any] = {"members": {m.name: _figures(m.logits, first) | {"seconds": float(m.seconds.mean())} for m in members}}
    logits = cross_fitted(members) if len(members) > 1 else first.logits
    weights = fit_weights(members)
    found |= _figures(logits, first)
    found["calibration"] = calibration(logits[known], first.labels[known])
    if len(members) > 1:
        found["weights"] = {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}
        exited, saved = early_exit(members, weights, margin)
        found["early_exit"] = {"margin": margin, "share_of_seconds_saved": saved, "top1": _figures(exited, first)["all"]["top1"]}
    found["confusion"] = {"actions": first.actions.tolist(), "counts": _confusion(logits[known], first.labels[known]).tolist()}
    return found


def write_report(found: dict[str, Any], folder: Path) -> None:
    """`report.json` and `confusion.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    actions = found["confusion"]["actions"]
    save_png(confusion_figure(np.array(found["confusion"]["counts"]), actions, actions), folder / "confusion.png")


def _figures(logits: Array, first: SavedScores) -> dict[str, Any]:
    known, names = first.labels >= 0, first.actions.tolist()
    rows = {"all": known, "scene_disjoint": known & first.disjoint}
    return {name: recognition_metrics(logits[here], first.labels[here], names) for name, here in rows.items()}


def _confusion(logits: Array, labels: Array) -> Array:
    counts = np.zeros((logits.shape[1], logits.shape[1]), np.int64)
    np.add.at(counts, (labels, logits.argmax(1)), 1)
    return counts

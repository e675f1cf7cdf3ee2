"""What a training measures on its validation clips: of one action a clip, or of many labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from parsing.datasets.clips import ClipRecord
from parsing.measures.pictures import save_png
from recognizers import evaluation
from recognizers.multilabel.metrics import pr_figure
from recognizers.multilabel.report import Decoding, report_scores
from recognizers.multilabel.scores import MultiLabelScores
from recognizers.multilabel.scoring import score_clips
from recognizers.scores import SavedScores
from recognizers.superres.scaling import Scaling
from recognizers.video import VideoRecognizer

ONE, MANY = "top1", "mean_ap"  # the figure that says which epoch is best


def score(stage: VideoRecognizer, records: Sequence[ClipRecord], name: str, scaling: Scaling | None) -> SavedScores | MultiLabelScores:
    """Scores of every clip, which can be saved."""
    if stage.labels.multi_label:
        return score_clips(stage, records, name, scaling)
    return evaluation.score_clips(stage, records, name, scaling)


def load_scores(path: Path, many: bool) -> SavedScores | MultiLabelScores:
    """Raises InputError: the file is missing, or holds no such scores."""
    return MultiLabelScores.load(path) if many else SavedScores.load(path)


def validate(stage: VideoRecognizer, records: Sequence[ClipRecord], name: str, scaling: Scaling | None, out: Path | None) -> dict[str, Any]:
    """Figures of `all` clips and, with one action a clip, of those with a scene of their own.

    Args:
        out: folder for the scores and a picture: what each action was taken for, or curves of precision over recall.
    """
    scores = score(stage, records, name, scaling)
    if out is not None:
        scores.save(out / "val_scores.npz")
    if isinstance(scores, SavedScores):
        if out is not None:
            evaluation.save_confusion(scores, out / "confusion.png")
        return evaluation.figures(scores)
    if out is not None:
        probabilities = expit(scores.logits)
        save_png(pr_figure(probabilities, scores.truth, scores.classes.tolist(), probabilities > 0.5), out / "pr_curves.png")
    return {"all": many_figures(scores)}


def many_figures(scores: MultiLabelScores) -> dict[str, Any]:
    """Average precision, and F1 at one half and at thresholds fitted across folds."""
    found = report_scores([scores], Decoding())[0]["members"][scores.name]
    fitted = found["thresholds_across_folds"]
    return {
        "mean_ap": float(found["mean_ap"] or 0.0),
        "macro_f1": float(found["threshold_0.5"]["macro_f1"]),
        "macro_f1_fitted": float(fitted["macro_f1"]),
        "micro_f1_fitted": float(fitted["micro_f1"]),
        "num_videos": len(np.asarray(scores.videos)),
    }

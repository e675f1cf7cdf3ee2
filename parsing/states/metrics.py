"""How well states are recognized, per part and state, where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from parsing.measures.average_precision import average_precision
from parsing.types import Array
from parsing.vocabulary import Vocabulary


def top1(scores: Array, holds: Array, known: Array) -> float | None:
    """Share of parts whose best-scored state holds, among those of which a state is known to hold; the report's top-1."""
    truth = holds & known
    rows = truth.any(-1)
    best = np.where(known, scores, -1.0).argmax(-1)
    return float(np.take_along_axis(truth, best[..., None], -1)[..., 0][rows].mean()) if rows.any() else None


def state_metrics(scores: Array, holds: Array, known: Array, vocabulary: Vocabulary, threshold: float = 0.5) -> dict[str, Any]:
    """Figures over N persons.

    Args:
        scores, holds, known: (N, P, S).

    Returns:
        `mean_class_accuracy`: for each state of a part that occurs both ways, the mean of the shares of persons
        recognized where it holds and where it does not; averaged over all of these. The majority vote scores 0.5
        there; `accuracy` and `majority_accuracy` compare plainly. `mean_ap` averages the states' precision; `top1` is
        the share of parts whose best-scored state holds.
    """
    rows: dict[str, dict[str, Any]] = {}
    for p, s in zip(*np.nonzero(vocabulary.allowed), strict=True):
        here = known[:, p, s]
        truth, score = holds[here, p, s], scores[here, p, s]
        if not truth.any() or truth.all():
            continue
        right = (score >= threshold) == truth
        rows[f"{vocabulary.parts[p]}/{vocabulary.states[s]}"] = {
            "class_accuracy": float((right[truth].mean() + right[~truth].mean()) / 2),
            "accuracy": float(right.mean()),
            "majority_accuracy": float(max(truth.mean(), 1 - truth.mean())),
            "ap": average_precision(score, truth),
            "base_rate": float(truth.mean()),
            "num_persons": len(truth),
        }
    means = {key: float(np.mean([row[name] for row in rows.values()])) if rows else None for key, name in _MEANS.items()}
    return {
        **means,
        "top1": top1(scores, holds, known),
        "majority_class_accuracy": 0.5 if rows else None,
        "num_persons": len(scores),
        "per_state": rows,
    }


_MEANS = {
    "mean_class_accuracy": "class_accuracy",
    "mean_ap": "ap",
    "accuracy": "accuracy",
    "majority_accuracy": "majority_accuracy",
    "base_rate_ap": "base_rate",
}

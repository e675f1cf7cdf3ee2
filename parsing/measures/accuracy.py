"""Accuracy of videos with one true action each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parsing.types import Array


def accuracy_figures(scores: Array, labels: Array, action_names: Sequence[str]) -> dict[str, Any]:
    """Figures over N videos.

    Args:
        scores: (N, A), higher is likelier. Ties count against the network.
        labels: (N,) ids of the true actions.

    Returns:
        `top1`, `top5`, `mean_class_accuracy` (over the classes that occur), `num_videos`, and per class its share
        of right answers and the wrong answers that it was given; figures are None without videos.
    """
    if len(labels) == 0:
        return {"top1": None, "top5": None, "mean_class_accuracy": None, "num_videos": 0, "per_class": {}}
    true_scores = scores[np.arange(len(labels)), labels]
    rank = (scores >= true_scores[:, None]).sum(1) - 1
    best = scores.argmax(1)
    per_class = {}
    for action in np.unique(labels):
        here = labels == action
        taken = {action_names[i]: int((best[here] == i).sum()) for i in np.unique(best[here])}
        per_class[action_names[action]] = {"accuracy": float((rank[here] < 1).mean()), "num_videos": int(here.sum()), "taken_for": taken}
    return {
        "top1": float((rank < 1).mean()),
        "top5": float((rank < 5).mean()),
        "mean_class_accuracy": float(np.mean([row["accuracy"] for row in per_class.values()])),
        "num_videos": len(labels),
        "per_class": per_class,
    }

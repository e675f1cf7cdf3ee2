"""F1 over classes and labels of clips with several labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parsing.types import Array


def f1(right: Array, predicted: Array, shown: Array) -> Array:
    """F1 from counts, 2 TP / (2 TP + FP + FN); 0 where nothing is predicted or shown.

    Args:
        right, predicted, shown: true positives, all predictions, and all that hold; of shapes that broadcast.
    """
    return _ratio(2 * right, predicted + shown)


def f1_figures(predicted: Array, truth: Array, classes: Sequence[str]) -> dict[str, Any]:
    """F1 of labels over N clips.

    Where a denominator is 0, a figure is 0: a class that no clip shows counts as 0 in `macro_f1` whether or not it is
    predicted, as in scikit-learn with `zero_division=0`, which the TinyAction challenge scores with.

    Args:
        predicted: (N, C) bool.
        truth: (N, C) multi-hot.

    Returns:
        `macro_f1` over all classes; `macro_f1_of_shown` over those that a clip shows, and how many no clip does,
        `num_empty_classes`; `micro_f1` over all labels; and per class F1, precision, recall, `support` (clips that show
        it) and `num_predicted`.
    """
    chosen, shown = np.asarray(predicted, bool), np.asarray(truth, bool)
    right, support, num_predicted = (chosen & shown).sum(0), shown.sum(0), chosen.sum(0)
    of_classes = f1(right, num_predicted, support)
    precision, recall = _ratio(right, num_predicted), _ratio(right, support)
    columns = zip(classes, of_classes, precision, recall, support, num_predicted, strict=True)
    return {
        "macro_f1": float(of_classes.mean()),
        "macro_f1_of_shown": float(of_classes[support > 0].mean()) if support.any() else 0.0,
        "num_empty_classes": int((support == 0).sum()),
        "micro_f1": float(f1(right.sum(), num_predicted.sum(), support.sum())),
        "num_clips": len(shown),
        "per_class": {
            name: {"f1": float(f), "precision": float(p), "recall": float(r), "support": int(n), "num_predicted": int(m)}
            for name, f, p, r, n, m in columns
        },
    }


def _ratio(upper: Array, lower: Array) -> Array:
    return np.asarray(np.divide(upper, lower, out=np.zeros(np.broadcast_shapes(np.shape(upper), np.shape(lower))), where=lower > 0))

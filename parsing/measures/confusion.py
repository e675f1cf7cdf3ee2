"""What each class was taken for."""

from __future__ import annotations

import numpy as np

from parsing.types import Array


def confusion_counts(truth: Array, predicted: Array, num_true: int, num_predicted: int) -> Array:
    """(T, P) how often an item of each true class was predicted as each class.

    Args:
        truth, predicted: (N,) ids below `num_true` and `num_predicted`.
    """
    counts = np.zeros((num_true, num_predicted), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts

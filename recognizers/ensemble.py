"""Late fusion of recognizers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parsing.types import Array


def average_scores(scores: Sequence[Array]) -> Array:
    """(A,) mean of the recognizers' (A,) probabilities, each with the same weight.

    Raises:
        ValueError: no scores, or vectors of different length.
    """
    if not scores or len({score.shape for score in scores}) != 1:
        raise ValueError(f"expected score vectors of one length, found {[score.shape for score in scores]}")
    return np.asarray(np.mean(scores, axis=0), np.float32)

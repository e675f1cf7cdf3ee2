"""Whether a probability means what it says."""

from __future__ import annotations

import numpy as np

from parsing.types import Array


def calibration(probabilities: Array, labels: Array, bins: int = 10) -> dict[str, object]:
    """Expected calibration error (Guo et al. 2017), and for each bin of confidence its accuracy, mean confidence and videos.

    Args:
        probabilities: (N, A). labels: (N,) ids of the true actions.
        bins: of equal width that the confidence, the highest probability, is divided into.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = [
        {"accuracy": float(right[here].mean()), "confidence": float(confidence[here].mean()), "videos": int(here.sum())}
        for b in range(bins)
        if (here := which == b).any()
    ]
    error = sum(abs(row["accuracy"] - row["confidence"]) * row["videos"] for row in rows) / max(1, len(labels))
    return {"expected_calibration_error": float(error), "bins": rows}

"""Keypoints as maps that a network can look at beside the colours."""

from __future__ import annotations

import numpy as np

from parsing.types import Array

SIGMA_SHARE = 1 / 48  # of the crop's side
MIN_SCORE = 0.2


def keypoint_heatmaps(keypoints: Array, size: int) -> Array:
    """(size, size, K) uint8: a Gaussian of height 255 around each keypoint; nothing where its score is below 0.2.

    Args:
        keypoints: (K, 3) x, y in pixels of the crop, score or visibility.
    """
    sigma = size * SIGMA_SHARE
    at = np.arange(size, dtype=np.float32) + 0.5
    across = np.exp(-((at[None] - keypoints[:, :1]) ** 2) / (2 * sigma**2))  # (K, size)
    down = np.exp(-((at[None] - keypoints[:, 1:2]) ** 2) / (2 * sigma**2))
    seen = (keypoints[:, 2] >= MIN_SCORE)[:, None]
    return np.asarray(np.einsum("ky,kx->yxk", down * seen, across) * 255).astype(np.uint8)

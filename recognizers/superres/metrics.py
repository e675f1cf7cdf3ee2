"""PSNR and SSIM on luma, as super-resolution of video is reported on Vid4 and UDM10."""

from __future__ import annotations

import cv2
import numpy as np

from parsing.types import Array

PEAK = 255.0
MOST_DB = 100.0  # that an equal frame counts, so that a single one does not make a mean infinite
WINDOW_PX, SIGMA_PX = 11, 1.5
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def luma(image: Array) -> Array:
    """(H, W) float64 in [16, 235] of an (H, W, 3) uint8 RGB image: ITU-R BT.601."""
    return np.asarray(16 + image.astype(np.float64) @ (65.481, 128.553, 24.966) / PEAK)


def psnr(found: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB of two (H, W) images with values up to 255; infinite where they are equal."""
    error = float(np.mean((found.astype(np.float64) - truth) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def ssim(found: Array, truth: Array) -> float:
    """Mean structural similarity of two (H, W) images with values up to 255 (Wang et al., IEEE TIP 2004).

    Gaussian windows of 11 px that lie wholly inside; a smaller image is one window, its edge repeated.
    """
    height, width = truth.shape
    pad = [(max(0, -(-(WINDOW_PX - side) // 2)),) * 2 for side in (height, width)]
    a, b = (np.pad(image.astype(np.float64), pad, "edge") for image in (found, truth))
    mean_a, mean_b = _windowed(a), _windowed(b)
    variance_a, variance_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return float(np.mean(likeness / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))))


def _windowed(image: Array) -> Array:
    border = WINDOW_PX // 2
    blurred = cv2.GaussianBlur(image, (WINDOW_PX, WINDOW_PX), SIGMA_PX)
    return np.asarray(blurred[border:-border, border:-border])


def fidelity(found: Array, truth: Array) -> tuple[float, float]:
    """PSNR and SSIM on luma, mean over the frames of two (T, H, W, 3) uint8 RGB clips."""
    pairs = [(luma(a), luma(b)) for a, b in zip(found, truth, strict=True)]
    return float(np.mean([min(psnr(*pair), MOST_DB) for pair in pairs])), float(np.mean([ssim(*pair) for pair in pairs]))

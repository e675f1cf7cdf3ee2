import numpy as np
import pytest
from seeded import seeded_image

from recognizers.superres.metrics import fidelity, luma, psnr, ssim


def test_luma_is_that_of_bt601() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966], abs=1e-3)


def test_psnr_by_hand() -> None:
    truth = np.full((4, 5), 100.0)
    assert psnr(truth + 5, truth) == pytest.approx(20 * np.log10(255 / 5))  # 34.15 dB
    half = truth.copy()
    half[:2] += 10
    assert psnr(half, truth) == pytest.approx(10 * np.log10(255**2 / 50))
    assert psnr(truth, truth) == float("inf")


def test_ssim_by_hand() -> None:
    flat = np.full((16, 16), 100.0)
    c1 = (0.01 * 255) ** 2
    assert ssim(flat, flat) == pytest.approx(1)
    assert ssim(flat + 50, flat) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))  # only the means differ
    opposite = np.tile(np.array([[0.0, 255.0], [255.0, 0.0]]), (8, 8))
    assert ssim(opposite, 255 - opposite) < -0.9


def test_ssim_equals_the_windows_written_out() -> None:
    a, b = (luma(seeded_image(14, 13, seed)) for seed in (0, 1))
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2, found = 6.5025, 58.5225, []
    for y in range(4):
        for x in range(3):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            variances = (window * (p - mean_p) ** 2).sum() + (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            likeness = (2 * mean_p * mean_q + c1) / (mean_p**2 + mean_q**2 + c1)
            found.append(likeness * (2 * covariance + c2) / (variances + c2))
    assert ssim(a, b) == pytest.approx(np.mean(found), rel=1e-6)


def test_images_smaller_than_a_window_have_a_figure() -> None:
    for size in ((1, 1), (3, 30), (10, 9)):
        image = luma(seeded_image(*size))
        assert ssim(image, image) == pytest.approx(1)


def test_an_equal_frame_leaves_the_mean_finite() -> None:
    truth = np.full((2, 12, 12, 3), 100, np.uint8)
    found = truth.copy()
    found[1] += 1
    assert fidelity(truth, truth) == pytest.approx((100, 1))
    assert fidelity(found, truth)[0] == pytest.approx((100 + 20 * np.log10(255 * 255 / 219)) / 2, rel=1e-6)


def test_clips_are_averaged_over_frames() -> None:
    truth = np.stack([seeded_image(20, 20, seed) for seed in range(2)]).clip(10, 240)
    found = truth.copy()
    found[0] += 2
    found[1] += 4
    first, second = (20 * np.log10(255 / (step * 219 / 255)) for step in (2, 4))  # white is 219 above black
    assert fidelity(found, truth)[0] == pytest.approx((first + second) / 2, rel=1e-6)

import math

import numpy as np
import pytest
import torch

from detectors.networks.calibration import ScoreCalibration, fit_calibration
from parsing.measures.boxes import BoxTruth

BOX, ELSEWHERE = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]
FOUND = tuple[np.ndarray, np.ndarray, np.ndarray]


def image(*rows: tuple[list[float], float], crowd: bool = False, true_class: int = 0) -> tuple[BoxTruth, FOUND]:
    """An image with one true box, BOX, and boxes of class 0 that were found."""
    truth = BoxTruth(np.array([BOX]), np.array([true_class]), np.array([crowd]))
    return truth, (np.array([box for box, _ in rows]).reshape(-1, 4), np.array([score for _, score in rows]), np.zeros(len(rows), int))


def fit(images: list[tuple[BoxTruth, FOUND]], num_classes: int = 1) -> ScoreCalibration:
    return fit_calibration([truth for truth, _ in images], [found for _, found in images], num_classes)


def test_calibrated_scores_are_the_share_of_right_boxes() -> None:
    # Of boxes at 0.9 three quarters are right, of boxes at 0.4 one quarter: two points, which a line of logits meets exactly.
    images = [image((BOX, 0.9))] * 3000 + [image((ELSEWHERE, 0.9))] * 1000 + [image((BOX, 0.4))] * 1000 + [image((ELSEWHERE, 0.4))] * 3000
    found = fit(images).apply(torch.tensor([[0.9], [0.4], [0.0]]))
    assert found.flatten().tolist() == pytest.approx([0.75, 0.25, 0.0], abs=1e-3)


def test_a_true_box_is_claimed_once_and_ignored_regions_do_not_count() -> None:
    # The second box on the same person is wrong, so half of all boxes are right whatever their score.
    twice = fit([image((BOX, 0.9), (BOX, 0.8))] * 100 + [image((BOX, 0.8), (BOX, 0.7))] * 100)
    assert twice.apply(torch.tensor([[0.9], [0.7]])).flatten().tolist() == pytest.approx([1.0, 0.0], abs=0.1)
    plain = [image((BOX, 0.9))] * 30 + [image((ELSEWHERE, 0.4))] * 30 + [image((ELSEWHERE, 0.9))] * 30
    assert fit(plain) == fit([*plain, *([image((BOX, 0.9), crowd=True)] * 50)])


def test_boxes_of_another_class_are_wrong() -> None:
    mixed = [image((BOX, 0.6))] * 50 + [image((BOX, 0.6), true_class=1)] * 50
    assert float(fit(mixed, 2).apply(torch.tensor([[0.6, 0.6]]))[0, 0]) == pytest.approx(0.5, abs=1e-2)


def test_scores_stay_where_there_is_too_little_to_fit() -> None:
    calibration = fit([image((BOX, 0.9))] * 500 + [image((ELSEWHERE, 0.4))] * 3)
    assert calibration == ScoreCalibration((1.0,), (0.0,))
    assert calibration.apply(torch.tensor([[0.3]])).item() == pytest.approx(0.3)


def test_order_is_kept() -> None:
    scores = torch.linspace(0.001, 0.999, 50)[:, None]
    assert (ScoreCalibration((0.7,), (-1.0,)).apply(scores).diff(dim=0) > 0).all()
    assert ScoreCalibration((1.0,), (math.log(3),)).apply(torch.tensor([[0.5]])).item() == pytest.approx(0.75)  # odds times three

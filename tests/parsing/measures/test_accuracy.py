import numpy as np
import pytest

from parsing.measures.accuracy import accuracy_figures


def test_metrics_by_hand() -> None:
    scores = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]])
    metrics = accuracy_figures(scores, np.array([0, 1, 2, 0]), ("a", "b", "c"))
    assert metrics["top1"] == 0.5  # a tie counts against the network
    assert metrics["top5"] == 1
    assert metrics["mean_class_accuracy"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert metrics["per_class"]["b"] == {"accuracy": 0.0, "num_videos": 1, "taken_for": {"a": 1}}
    assert accuracy_figures(np.zeros((0, 3)), np.zeros(0, int), ("a", "b", "c"))["top1"] is None

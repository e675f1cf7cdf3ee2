import numpy as np
import pytest

from parsing.measures.average_precision import average_precision, average_precisions, mean_average_precision, precision_recall


def test_average_precision_by_hand() -> None:
    # The documentation's example of scikit-learn's average_precision_score.
    assert average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == pytest.approx(0.8333333)
    # Ranked: hit, miss, hit -> (1/1 + 2/3) / 2.
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([0.9]), np.array([False])) is None
    assert average_precision(np.zeros(0), np.zeros(0)) is None
    truth = np.array([1, 0, 1, 0], bool)
    precision, recall = precision_recall(np.array([0.9, 0.5, 0.5, 0.1]), truth)  # equal scores are one step
    assert precision == pytest.approx([1, 2 / 3, 1 / 2])
    assert recall == pytest.approx([1 / 2, 1, 1])
    # All tied: no order is better than another, precision is the base rate.
    assert average_precision(np.full(4, 0.5), truth) == pytest.approx(0.5)
    assert average_precision(np.full(4, 0.5), np.array([True, False, False, False])) == pytest.approx(0.25)
    scores = np.array([[0.9, 0.2], [0.1, 0.3]])
    assert average_precisions(scores, np.array([[1, 0], [0, 0]])) == [pytest.approx(1), None]
    assert mean_average_precision(scores, np.array([[1, 0], [0, 0]])) == pytest.approx(1)
    assert mean_average_precision(scores, np.zeros((2, 2))) is None

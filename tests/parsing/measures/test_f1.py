import numpy as np
import pytest

from parsing.measures.f1 import f1_figures


def test_f1_by_hand() -> None:
    truth = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    predicted = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    found = f1_figures(predicted, truth, ["a", "b", "empty", "wrong"])
    # a: 2 right, 1 wrong, 1 missed; b: 1 right, 1 missed; nothing is shown or said of empty; wrong is only said.
    assert found["per_class"]["a"] == {
        "f1": pytest.approx(4 / 6),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "support": 3,
        "num_predicted": 3,
    }
    assert found["per_class"]["b"]["f1"] == pytest.approx(2 / 3)
    assert found["per_class"]["empty"] == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "support": 0, "num_predicted": 0}
    assert found["per_class"]["wrong"]["f1"] == 0
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 4)
    assert found["macro_f1_of_shown"] == pytest.approx(2 / 3)
    assert found["num_empty_classes"] == 2
    assert found["micro_f1"] == pytest.approx(2 * 3 / (5 + 5))
    nothing = f1_figures(np.zeros((0, 2), bool), np.zeros((0, 2)), ["a", "b"])
    assert (nothing["macro_f1"], nothing["micro_f1"], nothing["macro_f1_of_shown"]) == (0, 0, 0)

import numpy as np
import pytest

from parsing.measures.calibration import calibration


def test_calibration_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.45, 0.55]])
    found = calibration(probabilities, np.array([0, 1, 1, 1]))
    assert found["expected_calibration_error"] == pytest.approx((2 * abs(0.5 - 0.9) + 2 * abs(1 - 0.55)) / 4)
    assert [row["videos"] for row in found["bins"]] == [2, 2]  # type: ignore[attr-defined]

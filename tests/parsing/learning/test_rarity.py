import numpy as np
import pytest

from parsing.learning.rarity import as_draws, rarity


def test_items_of_rare_classes_by_hand() -> None:
    """Of four items all but one have the first class, and one has the second."""
    holds = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], bool)
    assert rarity(holds, exponent=1.0) == pytest.approx([4 / 3, 4 / 3, 4, 4 / 3])  # the last as if it had the first class
    assert rarity(holds, repeat_share=0.64) == pytest.approx([1, 1, 1.6, 1])
    assert rarity(holds) == pytest.approx([1, 1, 1, 1])
    assert rarity(np.zeros((2, 0), bool), exponent=1.0).tolist() == [1, 1]


def test_weights_that_are_alike_are_none() -> None:
    assert as_draws(np.array([])) is None
    assert as_draws(np.array([2.0, 2.0])) is None
    assert as_draws(np.array([1.0, 2.0])) == [1, 2]

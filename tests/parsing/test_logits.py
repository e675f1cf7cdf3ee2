"""Logits to probabilities and back, as SciPy has them."""

import numpy as np
import scipy.special

from parsing.logits import log_softmax, logit, sigmoid, softmax


def test_they_are_those_of_scipy() -> None:
    logits = np.array([[-1e4, -800.0, -30.0, -1e-9], [0.0, 1.0, 40.0, 800.0]])
    np.testing.assert_allclose(softmax(logits), scipy.special.softmax(logits, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(log_softmax(logits), scipy.special.log_softmax(logits, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(sigmoid(logits), scipy.special.expit(logits), rtol=1e-12)
    probabilities = np.array([0.0, 1e-300, 1e-9, 0.25, 0.5, 1 - 1e-9, 1.0])
    np.testing.assert_allclose(logit(probabilities), scipy.special.logit(probabilities), rtol=1e-12)


def test_the_type_stays() -> None:
    assert {of(np.ones(3, np.float32)).dtype for of in (softmax, log_softmax, sigmoid)} == {np.dtype(np.float32)}


def test_whole_numbers_and_numbers_of_another_machine() -> None:
    np.testing.assert_allclose(softmax(np.array([0, 2])), scipy.special.softmax([0.0, 2.0]))
    assert sigmoid(0).dtype == np.float64
    np.testing.assert_allclose(softmax(np.array([0, 2], ">f4")), scipy.special.softmax([0.0, 2.0]), rtol=1e-6)

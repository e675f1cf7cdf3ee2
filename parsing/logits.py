"""Logits to probabilities and back. SciPy has these functions too, but takes longer to load than what uses them."""

from __future__ import annotations

from typing import Any

import numpy as np

from parsing.types import Array


def softmax(logits: Array) -> Array:
    """Probabilities (..., A) of A classes that exclude each other."""
    return np.asarray(np.exp(log_softmax(logits)))


def log_softmax(logits: Array) -> Array:
    """Logarithms (..., A) of `softmax`."""
    below = logits - logits.max(-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(-1, keepdims=True)))


def sigmoid(logits: Any) -> Array:
    with np.errstate(over="ignore"):  # far below zero
        return np.asarray(1 / (1 + np.exp(-logits)))


def logit(probabilities: Any) -> Array:
    """The inverse of `sigmoid`, infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities) - np.log1p(-probabilities))

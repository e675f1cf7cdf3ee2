"""Logits to probabilities and back, as PyTorch computes them; SciPy, which has these too, would be loaded for nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from parsing.types import Array


def softmax(logits: Array) -> Array:
    """Probabilities (..., A) of A classes that exclude each other, of the precision of the logits."""
    return _tensor(logits).softmax(-1).numpy()


def log_softmax(logits: Array) -> Array:
    """Logarithms (..., A) of `softmax`."""
    return _tensor(logits).log_softmax(-1).numpy()


def sigmoid(logits: Any) -> Array:
    return _tensor(logits).sigmoid().numpy()


def logit(probabilities: Any) -> Array:
    """The inverse of `sigmoid`, infinite at 0 and 1."""
    return _tensor(probabilities).logit().numpy()


def _tensor(values: Any) -> torch.Tensor:
    array = np.asarray(values)
    kind = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.dtype(float)  # PyTorch takes no other order
    return torch.from_numpy(np.array(array, kind))

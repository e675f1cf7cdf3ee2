"""How often items of rare classes are drawn."""

from __future__ import annotations

import numpy as np

from parsing.types import Array


def rarity(holds: Array, exponent: float = 0.0, repeat_share: float = 0.0) -> Array:
    """(N,) how often each item is drawn, relative to an item whose classes every item has.

    The rarest class of an item counts; an item without a class counts as one of the most common class.

    Args:
        holds: (N, K) bool: the classes of each item.
        exponent: on the inverse of f, the share of items that have a class.
        repeat_share: t of the repeat factor max(1, sqrt(t / f)) of a class (Gupta et al., LVIS, CVPR 2019, section 4).
    """
    share = np.maximum(holds.sum(0), 1) / max(1, len(holds))
    factor = share**-exponent * np.maximum(1, np.sqrt(repeat_share / share))
    common = float(factor.min()) if factor.size else 1.0
    return np.asarray(np.where(holds, factor, common).max(1, initial=common))


def as_draws(weights: Array) -> list[float] | None:
    """Weights as `fit` takes them; None where all are alike, so that an epoch has each item once."""
    return None if len(weights) == 0 or np.allclose(weights, weights[0]) else [float(weight) for weight in weights]

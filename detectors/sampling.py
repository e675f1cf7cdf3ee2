"""How often training items are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from parsing.errors import InputError
from parsing.learning.rarity import as_draws, rarity

Sampling = Literal["uniform", "repeat_factor", "class_balanced"]
RARE_SHARE = 0.3  # classes in fewer items than this are repeated


def item_weights(classes: Sequence[Sequence[str]], sampling: Sampling, own: Sequence[float]) -> list[float] | None:
    """Weight of every item, None where all are alike.

    Args:
        classes: names of the classes that occur in each item.
        sampling: `repeat_factor` draws an item max(1, sqrt(0.3 / f)) times as often, f being the share of items with its
            rarest class; `class_balanced` 1 / f times.
        own: a factor of each item, by its source.

    Raises:
        InputError: no item is ever drawn.
    """
    weights = np.array(own, float)
    if len(weights) and not weights.any():
        raise InputError("source_weights: 0 for every item to train on, expected one above")
    if sampling != "uniform":
        known = sorted({name for names in classes for name in names})
        holds = np.array([[name in names for name in known] for names in classes], bool).reshape(len(classes), len(known))
        weights = weights * (rarity(holds, repeat_share=RARE_SHARE) if sampling == "repeat_factor" else rarity(holds, exponent=1.0))
    return as_draws(weights)

"""How often training items are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from parsing.errors import InputError

Sampling = Literal["uniform", "repeat_factor", "class_balanced"]
RARE_SHARE = 0.3  # classes in fewer items than this are repeated


def item_weights(classes: Sequence[Sequence[str]], sampling: Sampling, own: Sequence[float]) -> list[float] | None:
    """Weight of every item, None where all are alike.

    Args:
        classes: names of the classes that occur in each item.
        sampling: `repeat_factor` draws an item sqrt(0.3 / f) times as often, f the share of items with its rarest
            class, if that is more than once (Gupta et al., LVIS, CVPR 2019, section 4); `class_balanced` 1 / f.
        own: a factor of each item, by its source.

    Raises:
        InputError: no item is ever drawn.
    """
    weights = np.array(own, float)
    if len(weights) and not weights.any():
        raise InputError("source_weights: 0 for every item to train on, expected one above")
    if sampling != "uniform":
        counts = Counter(name for names in classes for name in set(names))
        share = {name: count / max(1, len(classes)) for name, count in counts.items()}
        rarest = np.array([min((share[name] for name in names), default=1.0) for names in classes])
        weights = weights * (np.maximum(1.0, np.sqrt(RARE_SHARE / rarest)) if sampling == "repeat_factor" else 1 / rarest)
    return None if len(weights) == 0 or np.allclose(weights, weights[0]) else [float(w) for w in weights]

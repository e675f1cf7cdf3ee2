"""How often clips of rare actions are drawn."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from parsing.configs import Count, Share, config
from parsing.learning.rarity import as_draws, rarity
from parsing.types import Array

log = logging.getLogger(__name__)


@config
class BalanceConfig:
    """Draws against long tails; of clips with many labels the rarest counts.

    Args:
        exponent: on the inverse frequency of a clip's action; 0 takes each clip once, 1 draws actions alike.
        repeat_factor: a clip is drawn max(1, sqrt(t / f)) times as often as one of a common action, f being the share of
            clips with its action (Gupta et al., LVIS, 2019) and t this share; 0 for none.
        double_tail: clips of actions that less than this share of all clips have are taken twice, once mirrored (SIAT
            2022's data balance); 0 for none.
        repeat: how often every clip is drawn in an epoch, on average.
    """

    exponent: Share = 0.5
    repeat_factor: Share = 0.0
    double_tail: Share = 0.0
    repeat: Count = 1

    def entries(self, holds: Array, names: Sequence[str]) -> list[tuple[int, bool]]:
        """(index of a clip, whether mirrored) of each item of an epoch, from (N, A) labels."""
        share = holds.mean(0)
        tail = (share > 0) & (share < self.double_tail)
        doubled = np.flatnonzero((holds[:, tail] > 0).any(1)).tolist()
        if self.double_tail:
            rare = [name for name, is_rare in zip(names, tail, strict=True) if is_rare]
            log.info("%d clips of %d rare actions doubled by mirrored ones: %s", len(doubled), len(rare), ", ".join(rare))
        return ([(i, False) for i in range(len(holds))] + [(i, True) for i in doubled]) * self.repeat

    def weights(self, holds: Array, entries: Sequence[tuple[int, bool]]) -> list[float] | None:
        """How often each entry is drawn, relative to the others; None where all are alike, so that an epoch has each once."""
        seen = holds[[clip for clip, _ in entries]]
        return as_draws(rarity(seen > 0, self.exponent, self.repeat_factor))

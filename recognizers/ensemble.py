"""Late fusion: recognizers asked one after the other, until they are sure enough."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from parsing.stages import Recognizer
from parsing.types import Array, Frame, ModelFacts

LEAST_PROBABILITY = 1e-9  # a member's certainty that an action is not there counts no more than this


@dataclass(frozen=True, eq=False)
class Verdict:
    """What an ensemble says: (A,) probabilities, and for each member whether it was asked."""

    scores: Array
    asked: tuple[bool, ...]


class Ensemble:
    """Recognizers of the same actions, mixed by weighted mean of their log-probabilities.

    For networks this is the mean of logits before the softmax, as in the VIPriors report: what one network adds to all
    its logits does not matter. Members that give probabilities alone are mixed in by the same rule.

    Args:
        members: in the order in which they are asked: the cheapest should come first.
        weights: one for each member, scaled to sum to one; None counts all the same. Weight 0 is never asked.
        exit_margin: lead of the best action in probability from which no further member is asked; None asks all.
    """

    def __init__(self, members: Sequence[Recognizer], weights: Sequence[float] | None = None, exit_margin: float | None = None) -> None:
        given = np.array([1.0] * len(members) if weights is None else weights, float)
        if len(given) != len(members) or (given < 0).any() or (len(given) and not given.any()):
            raise ValueError(f"weights of {len(members)} recognizers are {given.tolist()}, expected as many, none below 0, one above")
        self.members, self.weights, self.exit_margin = members, given / given.sum(), exit_margin
        settings = {"weights": self.weights.round(6).tolist(), "exit_margin": exit_margin}
        self.facts = ModelFacts("recognizers", "ensemble", None, json.dumps(settings))

    def indices(self, num_frames: int) -> set[int]:
        """Frames that any member may want to see of a video of `num_frames` (>= 1)."""
        asked = (member for member, weight in zip(self.members, self.weights, strict=True) if weight)
        return {int(i) for member in asked for clip in member.sample(num_frames) for i in clip}

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> Verdict:
        """Judge a video of `num_frames` frames.

        Args:
            frames: at least those of `indices(num_frames)`.

        Raises:
            ValueError: there is no member, or members give vectors of different length.
        """
        total: Array | None = None
        scores, share, asked = np.zeros(0), 0.0, [False] * len(self.members)
        for i, (member, weight) in enumerate(zip(self.members, self.weights.tolist(), strict=True)):
            if weight == 0:
                continue
            found = member([[frames[int(k)] for k in clip] for clip in member.sample(num_frames)])
            weighted = weight * np.log(np.maximum(np.asarray(found, float), LEAST_PROBABILITY))
            if total is not None and total.shape != weighted.shape:
                raise ValueError(f"expected score vectors of one length, found {total.shape} and {weighted.shape}")
            total = weighted if total is None else total + weighted
            share, asked[i] = share + weight, True
            scores = softmax(total / share)
            if self.exit_margin is not None and lead(scores) >= self.exit_margin:
                break
        if total is None:
            raise ValueError("an ensemble of no recognizers has nothing to say")
        return Verdict(np.asarray(scores, np.float32), tuple(asked))


def lead(scores: Array) -> float:
    """How far the best of (A,) probabilities is ahead of the second; a single one leads by itself."""
    second, first = np.sort([*scores, 0.0])[-2:]
    return float(first - second)

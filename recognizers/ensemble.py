"""Late fusion: recognizers that run one after the other, until they are sure enough."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from parsing.logits import logit, sigmoid, softmax
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame, ModelFacts

LEAST_PROBABILITY = 1e-9  # a member's certainty that an action is not there counts no more than this
NEXT_TO_ONE = 2.0**-25  # a probability of single precision that is nearer to 1 is 1


class Ensemble:
    """Recognizers of the same actions, mixed before the softmax or the sigmoid.

    Single-label members are mixed by the weighted mean of their log-probabilities, which for networks is the mean of
    their logits, as in the VIPriors report: what one network adds to all its logits does not matter. Multi-label members
    are mixed by the weighted mean of the logits of each action.

    Args:
        members: at least one, in the order in which they run: the cheapest should come first.
        weights: one for each member, scaled to sum to one; None counts all the same. A member of weight 0 never runs.
        exit_margin: of single-label members: how far the best action has to lead in probability, so that no further
            member runs; None runs all.

    Raises:
        ValueError: there is no member, members know different actions, or the weights do not fit.
    """

    def __init__(
        self, members: Sequence[ActionRecognizer], weights: Sequence[float] | None = None, exit_margin: float | None = None
    ) -> None:
        given = np.array([1.0] * len(members) if weights is None else weights, float)
        if not members:
            raise ValueError("an ensemble needs at least one recognizer")
        if len(given) != len(members) or (given < 0).any() or not given.any():
            raise ValueError(f"weights of {len(members)} recognizers are {given.tolist()}, expected as many, none below 0, one above")
        self.action_names, self.multi_label = members[0].action_names, members[0].multi_label
        if any((member.action_names, member.multi_label) != (self.action_names, self.multi_label) for member in members):
            raise ValueError("the recognizers of an ensemble differ in their actions")
        if exit_margin is not None and self.multi_label:
            raise ValueError("multi-label recognizers have no best action whose lead could end an ensemble early")
        self.background = tuple(name for name in self.action_names if any(name in member.background for member in members))
        self.least_frames = max(member.least_frames for member in members)
        self.members, self.weights, self.exit_margin = members, given / given.sum(), exit_margin
        settings = {"weights": self.weights.round(6).tolist(), "exit_margin": exit_margin}
        self.facts = ModelFacts("recognizers", "ensemble", None, json.dumps(settings))
        self._mixing = (self.facts,) if len(members) > 1 else ()
        self.models = (*(model for member in members for model in member.models), *self._mixing)

    def indices(self, num_frames: int) -> Array:
        """(K,) sorted places of the frames that any member may look at."""
        return np.unique(np.concatenate([member.indices(num_frames) for member, _ in self._weighted()]))

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        """Scores of one clip; `models` are those of the members that ran, and of the mixing."""
        total, share = np.zeros(len(self.action_names)), 0.0
        models: list[ModelFacts] = []
        for member, weight in self._weighted():
            found = member(frames, num_frames)
            total += weight * logits_of(found.probabilities, self.multi_label, LEAST_PROBABILITY)
            share += weight
            models += found.models
            if self.exit_margin is not None and lead(softmax(total / share)) >= self.exit_margin:
                break
        probabilities = sigmoid(total / share) if self.multi_label else softmax(total / share)
        background = [self.action_names.index(name) for name in self.background]
        return ActionScores.of(probabilities, self.multi_label, (*models, *self._mixing), background)

    def _weighted(self) -> list[tuple[ActionRecognizer, float]]:
        """The members that may run, with their weights."""
        return [(member, weight) for member, weight in zip(self.members, self.weights.tolist(), strict=True) if weight]


def logits_of(probabilities: Array, multi_label: bool, least: float) -> Array:
    """Logits in double precision, of single-label probabilities up to a constant; below `least` all probabilities count alike."""
    exact = np.asarray(probabilities, float)
    return logit(exact.clip(least, 1 - max(least, NEXT_TO_ONE))) if multi_label else np.log(exact.clip(least))


def lead(probabilities: Array) -> Array:
    """(...) how far the best of (..., A) probabilities is ahead of the second; a single one leads by itself."""
    sorted_ = np.sort(np.pad(probabilities, [(0, 0)] * (probabilities.ndim - 1) + [(1, 0)]), -1)
    return np.asarray(sorted_[..., -1] - sorted_[..., -2])

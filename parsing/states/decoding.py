"""From probabilities of states to the states that hold: a learned prior, and thresholds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from parsing.measures.average_precision import average_precision
from parsing.states.metrics import top1
from parsing.types import Array
from parsing.vocabulary import Vocabulary

PRIOR_WEIGHTS = tuple(i / 10 for i in range(7))
PRIOR_COUNT = 5.0  # persons that the part's overall frequencies count for in the prior of one action
SHRINKAGE = 10.0  # persons that the threshold 0.5 counts for, against those that a state holds of
FEWEST, MOST = 0.05, 0.95
ROUNDING = 1e-4  # what a distribution in float32 may lack to one


class StateDecoder(nn.Module):
    """Mixes the network's probabilities with a prior P(state | part, action), then moves every threshold to 0.5.

    As made it changes nothing. `fit_prior` counts on training data; `fit` chooses weight and thresholds on validation
    data. Its buffers are saved with the network's weights.
    """

    def __init__(self, num_parts: int, num_actions: int, num_states: int) -> None:
        super().__init__()
        # The last row of the prior is for an unknown action.
        self.register_buffer("prior", torch.zeros(num_actions + 1, num_parts, num_states))
        self.register_buffer("prior_weight", torch.zeros(()))
        self.register_buffer("thresholds", torch.full((num_parts, num_states), 0.5))
        self.prior: Tensor
        self.prior_weight: Tensor
        self.thresholds: Tensor

    @property
    def is_neutral(self) -> bool:
        """Whether it changes no score."""
        return not self.prior_weight and bool((self.thresholds == 0.5).all())

    def forward(self, scores: Tensor, actions: Tensor | None) -> Tensor:
        """(B, P, S) scores in [0, 1] whose threshold is 0.5.

        Args:
            scores: (B, P, S) probabilities of the network.
            actions: (B, A) distributions, which may leave a share to unknown actions; None where unknown.
        """
        if actions is None or self.prior.shape[0] == 1:
            prior = self.prior[-1].expand_as(scores)
        else:
            shares = torch.cat([actions, unknown_mass(actions)], 1)
            prior = torch.einsum("ba,aps->bps", shares / shares.sum(1, keepdim=True), self.prior)
        mixed = (1 - self.prior_weight) * scores + self.prior_weight * prior
        moved: Tensor = mixed.clamp(0, 1) ** (np.log(0.5) / self.thresholds.log())
        return moved

    def fit_prior(self, holds: Array, known: Array, actions: Array) -> None:
        """Frequencies of states for each action, drawn to those over all actions where an action has few persons.

        Args:
            holds, known: (N, P, S) of training persons.
            actions: (N,) ids, -1 where unknown.
        """
        overall = (holds & known).sum(0) / np.maximum(known.sum(0), 1)
        rows = [
            ((holds & known)[actions == a].sum(0) + PRIOR_COUNT * overall) / (known[actions == a].sum(0) + PRIOR_COUNT)
            for a in range(self.prior.shape[0] - 1)
        ]
        self.prior.copy_(torch.as_tensor(np.stack([*rows, overall]), dtype=torch.float32))

    def fit(self, scores: Tensor, actions: Tensor | None, holds: Array, known: Array, one_state: bool) -> None:
        """Choose the prior's weight on validation data.

        Args:
            scores: (N, P, S) of the network alone; actions as in `forward`.
            holds, known: (N, P, S).
            one_state: the weight is chosen by top-1, else by mean AP.
        """
        self.thresholds.fill_(0.5)
        figures = []
        for weight in PRIOR_WEIGHTS:
            self.prior_weight.fill_(weight)
            found = self(scores, actions).numpy()
            figures.append(top1(found, holds, known) or 0.0 if one_state else _mean_ap(found, holds, known))
        self.prior_weight.fill_(PRIOR_WEIGHTS[int(np.argmax(figures))] if figures else 0.0)

    def fit_thresholds(self, scores: Array, holds: Array, known: Array) -> None:
        """Choose the threshold of each state of each part, for heads of independent states; arguments as in `fit`."""
        self.thresholds.copy_(torch.as_tensor(_thresholds(scores, holds, known), dtype=torch.float32))


def exclude(scores: Array, vocabulary: Vocabulary) -> Array:
    """Scores of which one state of an exclusive group is above one half at most: the best leaves its complement to the others.

    Args:
        scores: (N, P, S) in [0, 1].
        vocabulary: says which states of a part exclude each other.
    """
    found = scores.copy()
    for p, groups in enumerate(vocabulary.exclusive):
        for group in groups:
            columns = [vocabulary.states.index(state) for state in group]
            values = scores[:, p, columns]
            best = values.argmax(1)[:, None] == np.arange(len(columns))
            left = 1 - values.max(1, keepdims=True, initial=0.0)
            found[:, p, columns] = np.minimum(found[:, p, columns], np.where(best, values, left))
    return found


def unknown_mass(actions: Tensor) -> Tensor:
    """(B, 1) what (B, A) distributions leave to actions that the network does not know; exactly 0 up to rounding."""
    rest = 1 - actions.sum(1, keepdim=True)
    return torch.where(rest > ROUNDING, rest, 0.0)


def _mean_ap(scores: Array, holds: Array, known: Array) -> float:
    values = [
        average_precision(scores[known[:, p, s], p, s], holds[known[:, p, s], p, s])
        for p, s in np.ndindex(scores.shape[1:])
        if known[:, p, s].any()
    ]
    return float(np.mean([value for value in values if value is not None] or [0.0]))


def _thresholds(scores: Array, holds: Array, known: Array) -> Array:
    """(P, S) thresholds of the best F1, drawn to 0.5 where a state is rare."""
    found = np.full(scores.shape[1:], 0.5)
    for p, s in np.ndindex(*found.shape):
        here = known[:, p, s]
        truth, score = holds[here, p, s], scores[here, p, s]
        if not truth.any() or truth.all():
            continue
        order = np.argsort(-score, kind="stable")
        hits, chosen = np.cumsum(truth[order]), np.arange(1, len(order) + 1)
        best = int(np.argmax(2 * hits / (chosen + truth.sum())))
        following = score[order][best + 1] if best + 1 < len(order) else 0.0
        rarer = min(int(truth.sum()), int((~truth).sum()))
        threshold = (score[order][best] + following) / 2
        found[p, s] = np.clip((rarer * threshold + SHRINKAGE * 0.5) / (rarer + SHRINKAGE), FEWEST, MOST)
    return found

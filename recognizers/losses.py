"""Losses of single-label and multi-label recognizers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from parsing.configs import config
from parsing.learning.losses import sigmoid_loss

NonNegative = Annotated[float, Field(ge=0, le=1e6)]


@config
class ActionLossConfig:
    """What is minimised.

    Args:
        kind: cross-entropy for single-label clips; for multi-label ones binary cross-entropy, focal (Lin et al. 2017) or
            asymmetric (Ridnik et al. 2021; all three TinyAction reports).
        label_smoothing: of the cross-entropy.
        gamma: focusing of the focal loss.
        gamma_positive, gamma_negative, clip: of the asymmetric loss: focusing on either side, and the margin by which
            the probabilities of what does not hold are lowered.
    """

    kind: Literal["cross_entropy", "bce", "focal", "asymmetric"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    gamma: NonNegative = 2.0
    gamma_positive: NonNegative = 0.0
    gamma_negative: NonNegative = 4.0
    clip: NonNegative = 0.05

    @property
    def multi_label(self) -> bool:
        return self.kind != "cross_entropy"


def action_loss(logits: Tensor, labels: Tensor, settings: ActionLossConfig) -> Tensor:
    """Mean over (B, A) logits and labels, which are shares in [0, 1]; of one action over B."""
    if settings.kind == "cross_entropy":
        return F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    return sigmoid_loss(logits, labels, settings)

"""Losses of independent labels, for every stage where several may hold at once."""

from __future__ import annotations

from typing import Protocol

from timm.loss import AsymmetricLossMultiLabel
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss


class Focusing(Protocol):
    """Which loss, and how much it looks away from what is easy."""

    @property
    def kind(self) -> str: ...
    @property
    def gamma(self) -> float: ...
    @property
    def gamma_positive(self) -> float: ...
    @property
    def gamma_negative(self) -> float: ...
    @property
    def clip(self) -> float: ...


def sigmoid_loss(logits: Tensor, targets: Tensor, settings: Focusing) -> Tensor:
    """Mean over all elements of (B, C) logits and targets: focal, asymmetric, or of any other kind binary cross-entropy."""
    if settings.kind == "focal":
        focal: Tensor = sigmoid_focal_loss(logits, targets, alpha=-1, gamma=settings.gamma, reduction="mean")
        return focal
    if settings.kind == "asymmetric":
        asymmetric = AsymmetricLossMultiLabel(settings.gamma_negative, settings.gamma_positive, settings.clip)
        summed: Tensor = asymmetric(logits, targets)
        return summed / logits.numel()
    return F.binary_cross_entropy_with_logits(logits, targets)

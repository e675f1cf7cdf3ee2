"""Losses of part states, for heads of one state (softmax) and of many (sigmoid)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from parsing.configs import config
from parsing.learning.losses import sigmoid_loss

NonNegative = Annotated[float, Field(ge=0, le=1e6)]


@config
class StateLossConfig:
    """What is minimised.

    Args:
        kind: cross-entropy; focal (Lin et al. 2017; third place of Kinetics-TPS 2021); or asymmetric (Ridnik et al.
            2021), for sigmoid heads only.
        gamma: focusing of the focal loss.
        gamma_positive, gamma_negative, clip: of the asymmetric loss.
        logit_adjustment: how much of the log-odds of each state's frequency is added to the logits in training (Menon
            et al. 2021), which leaves more room to rare states.
    """

    kind: Literal["cross_entropy", "focal", "asymmetric"] = "cross_entropy"
    gamma: NonNegative = 2.0
    gamma_positive: NonNegative = 0.0
    gamma_negative: NonNegative = 4.0
    clip: NonNegative = 0.05
    logit_adjustment: NonNegative = 0.0


def one_state_loss(logits: Tensor, holds: Tensor, known: Tensor, frequency: Tensor, settings: StateLossConfig) -> Tensor:
    """Softmax loss over the parts of which a state is known to hold; several that hold share the target.

    Args:
        logits: (B, P, S), minus infinity where a part cannot take a state.
        holds, known: (B, P, S) bool.
        frequency: (P, S) of the training data.
    """
    allowed = logits.isfinite()
    target = (holds & known & allowed).float()
    rows = target.sum(-1) > 0
    if not rows.any():
        return logits[allowed].sum() * 0
    if settings.logit_adjustment:
        logits = logits + settings.logit_adjustment * frequency.clamp_min(1e-4).log()
    chosen, wanted = logits[rows], target[rows]
    log_p = chosen.log_softmax(-1).masked_fill(~allowed[rows], 0.0)
    loss = -(log_p * wanted).sum(-1) / wanted.sum(-1)
    if settings.kind == "focal":
        loss = loss * (1 - (chosen.softmax(-1) * wanted).sum(-1)).clamp_min(1e-6) ** settings.gamma
    return loss.mean()


def many_states_loss(logits: Tensor, holds: Tensor, known: Tensor, frequency: Tensor, settings: StateLossConfig) -> Tensor:
    """Sigmoid loss over every state that is known to hold or not; arguments as in `one_state_loss`."""
    known = known & logits.isfinite()
    if settings.logit_adjustment:
        logits = logits + settings.logit_adjustment * torch.logit(frequency, eps=1e-3)
    chosen, wanted = logits[known], holds[known].float()
    if not len(chosen):
        return logits[logits.isfinite()].sum() * 0
    return sigmoid_loss(chosen[None], wanted[None], settings)

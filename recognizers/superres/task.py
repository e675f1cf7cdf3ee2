"""What a step of a training of super-resolution computes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recognizers.superres.basicvsr import BasicVSR, Flows
from recognizers.superres.perceptual import PerceptualLoss
from recognizers.superres.realbasicvsr import RealBasicVSR
from recognizers.superres.spynet import warp


class SuperResolutionTask(nn.Module):
    """Charbonnier loss on the pictures, and what else is asked for; arguments are those of `SuperResolutionTraining`."""

    def __init__(
        self,
        network: nn.Module,
        freeze_flow: bool = False,
        flow_weight: float = 0.0,
        cleaning_weight: float = 1.0,
        vgg: str = "",
        perceptual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.network, self.flow_weight, self.cleaning_weight = network, flow_weight, cleaning_weight
        if freeze_flow and self.propagation.flow is not None:
            self.propagation.flow.requires_grad_(False)
        self.perceptual = [PerceptualLoss(Path(vgg))] if vgg else []  # in a list, for it is not trained or saved
        self.perceptual_weight = perceptual_weight

    @property
    def propagation(self) -> BasicVSR:
        """The network, or what of RealBasicVSR comes after cleaning; no attribute, which would list its weights twice."""
        return self.network.basicvsr if isinstance(self.network, RealBasicVSR) else cast(BasicVSR, self.network)

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        small, large = (clips.float() / 255 for clips in batch)
        losses: dict[str, Tensor] = {}
        if isinstance(self.network, RealBasicVSR):
            small = self.network.clean(small)
            losses["cleaning"] = self.cleaning_weight * F.l1_loss(small, F.interpolate(large, (3, *small.shape[3:]), mode="area"))
        flows = self.propagation.flows(small)
        found = self.propagation.upscale(small, flows)
        losses["pixels"] = charbonnier(found, large)
        if self.flow_weight:
            losses["flow"] = self.flow_weight * flow_loss(flows, small.detach())
        for loss in self.perceptual:
            losses["perceptual"] = self.perceptual_weight * loss.to(found.device)(found.flatten(0, 1), large.flatten(0, 1))
        return losses


def charbonnier(found: Tensor, truth: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Mean of sqrt(d^2 + epsilon), an absolute difference that is smooth at 0 (Lai et al., CVPR 2017)."""
    return torch.sqrt((found - truth) ** 2 + epsilon).mean()


def flow_loss(flows: Flows, clips: Tensor) -> Tensor:
    """How far each frame lies from its neighbours as the flow moves them, without labels (Yu et al., ECCV workshops 2016)."""
    to_next, to_previous = (torch.stack(cast(list[Tensor], one), 1).flatten(0, 1) for one in flows)
    first, second = clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)
    return charbonnier(warp(second, to_next, "border"), first) + charbonnier(warp(first, to_previous, "border"), second)

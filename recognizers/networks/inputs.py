"""What all video networks take: clips (B, T, 3, H, W), RGB in [0, 1]."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from parsing.backbones import Pretrained
from parsing.errors import InputError

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINETICS = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of torchvision's R(2+1)D
MIDDLE = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)  # of PyTorchVideo and UniFormer
Colours = tuple[tuple[float, float, float], tuple[float, float, float]]
InputKind = Literal["rgb", "residual"]


def no_images(pretrained: Pretrained, frozen_level: int) -> None:
    """Raises InputError for settings that only frame-wise networks know."""
    if pretrained != "none":
        raise InputError(f"pretrained: {pretrained!r}, but there are no weights of single images for this network; expected none")
    if frozen_level >= 0:
        raise InputError(f"frozen_level: {frozen_level}, but this network trains all of its weights; expected -1")


class Normalise(nn.Module):
    """(B, 3, T, H, W) as a network takes it.

    Args:
        colours: mean and deviation that its public weights were trained with.
        kind: `rgb`; or `residual`, how much each frame differs from the one before it (VIPriors report): much of what
            optical flow shows, at no cost. The first frame, which has none before it, repeats the second's difference.
    """

    def __init__(self, colours: Colours = IMAGENET, kind: InputKind = "rgb") -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.tensor(colours[0]).view(1, 1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(colours[1]).view(1, 1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, clips: Tensor) -> Tensor:
        if self.kind == "rgb":
            return ((clips - self.mean) / self.std).transpose(1, 2)
        if clips.shape[1] < 2:
            return torch.zeros_like(clips).transpose(1, 2)
        steps = (clips[:, 1:] - clips[:, :-1]) / self.std
        return torch.cat([steps[:, :1], steps], 1).transpose(1, 2)

"""What all video networks take: clips (B, T, 3, H, W), RGB in [0, 1], images of flow in their place, or both (6 channels)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks.backbones import Pretrained

Colours = tuple[tuple[float, float, float], tuple[float, float, float]]
ColourName = Literal["imagenet", "kinetics", "middle", "half", "mfnet", "clip"]
# Mean and deviation of RGB: ImageNet's, those of torchvision's R(2+1)D and R3D, of PyTorchVideo and UniFormer, of TimeSformer in
# mmaction2, of MF-Net, and of CLIP.
COLOURS: dict[ColourName, Colours] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
    "middle": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "mfnet": ((124 / 255, 117 / 255, 104 / 255), (1 / (255 * 0.0167),) * 3),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
FLOW: Colours = ((128 / 255,) * 3, (127 / 255,) * 3)
SingleKind = Literal["rgb", "residual", "flow"]
InputKind = Literal["rgb", "residual", "flow", "rgb_residual", "rgb_flow"]
# Channels of what the first layer takes.
CHANNELS: dict[InputKind, int] = {"rgb": 3, "residual": 3, "flow": 3, "rgb_residual": 6, "rgb_flow": 6}


def no_images(pretrained: Pretrained, frozen_level: int) -> None:
    """Raises InputError for settings that only frame-wise networks know."""
    if pretrained != "none":
        raise InputError(f"pretrained: {pretrained!r}, but there are no weights of single images for this network; expected none")
    if frozen_level >= 0:
        raise InputError(f"frozen_level: {frozen_level}, but this network trains all of its weights; expected -1")


class Normalise(nn.Module):
    """(B, C, T, H, W) as a network's first layer takes it, C as in CHANNELS.

    Args:
        colours: mean and deviation that its public weights were trained with.
        kind: `rgb`; `residual`, how much each frame differs from the one before it (VIPriors report): much of what optical
            flow shows, at no cost, the first frame repeating the second's difference; `flow`, motion between -1 and 1;
            `rgb_residual` and `rgb_flow`, both on top of each other (early fusion).
    """

    def __init__(self, colours: ColourName = "imagenet", kind: InputKind = "rgb") -> None:
        super().__init__()
        self.kind = kind
        given = {"flow": [FLOW], "rgb_flow": [COLOURS[colours], FLOW]}.get(kind, [COLOURS[colours]])
        mean, std = (torch.tensor([value for part in given for value in part[i]]).view(1, 1, -1, 1, 1) for i in (0, 1))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, clips: Tensor) -> Tensor:
        if self.kind == "residual":
            return self._steps(clips).transpose(1, 2)
        frames = (clips - self.mean) / self.std
        if self.kind == "rgb_residual":
            frames = torch.cat([frames, self._steps(clips)], 2)
        return frames.transpose(1, 2)

    def _steps(self, clips: Tensor) -> Tensor:
        if clips.shape[1] < 2:
            return torch.zeros_like(clips)
        steps = (clips[:, 1:] - clips[:, :-1]) / self.std
        return torch.cat([steps[:, :1], steps], 1)

"""SlowFast (Feichtenhofer et al., ICCV 2019) with the variants of the VIPriors report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, ColourName, InputKind, Normalise, no_images
from recognizers.networks.blocks import ConvNorm, Variants, activation
from recognizers.networks.resnet3d import ResNet3d


@config
class SlowFastArchitecture:
    """What the network is made of.

    Args:
        frames, interval: the fast pathway's clip; the slow one takes every `alpha`-th frame of it. As published, 4x16 is
            32 frames, every second, alpha 8; 8x8 has alpha 4.
        depth, width: of the slow pathway; the fast one has `width // beta` channels.
        fast_depth: of the fast pathway; None takes the slow one's.
        slow_frames: `strided`, from the first one on; or `spread` evenly from the first to the last, as PyTorchVideo does.
        lateral_kernel: frames that a lateral connection sees.
        lateral_norm: with batch norm and activation after each, as PyTorchVideo has it.
        colours: mean and deviation that its weights were trained with; PyTorchVideo's are `middle`.
    """

    frames: Annotated[int, Field(ge=4, le=256)] = 32
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    depth: Literal[26, 50, 101] = 50
    fast_depth: Literal[26, 50, 101] | None = None
    width: Annotated[int, Field(ge=8, le=256)] = 64
    alpha: Annotated[int, Field(ge=1, le=64)] = 8
    beta: Annotated[int, Field(ge=1, le=64)] = 8
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: InputKind = "rgb"
    colours: ColourName = "imagenet"
    slow_frames: Literal["strided", "spread"] = "strided"
    lateral_kernel: Literal[5, 7] = 5
    lateral_norm: bool = False
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    variants: Variants = field(default_factory=Variants)

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval, self.alpha)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> SlowFast:
        no_images(pretrained, frozen_level)
        return SlowFast(self, len(actions))


class SlowFast(nn.Module):
    """Two pathways over the same clip; the fast one feeds the slow one before every stage."""

    def __init__(self, architecture: SlowFastArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise(a.colours, a.input)
        narrow = a.width // a.beta
        fed = [narrow, *(narrow * 4 * 2**i for i in range(3))]  # channels of the fast pathway before each stage
        channels, inflate = CHANNELS[a.input], (False, False, True, True)
        self.slow = ResNet3d(a.depth, a.width, 1, inflate, lateral=[2 * c for c in fed], variants=a.variants, in_channels=channels)
        self.fast = ResNet3d(a.fast_depth or a.depth, narrow, 5, variants=a.variants, in_channels=channels)
        self.lateral = nn.ModuleList(_lateral(c, a) for c in fed)
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(self.fast.out_channels + self.slow.out_channels, num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]; T is a multiple of alpha."""
        x = self.normalise(clips)
        fast, slow = self.fast.begin(x), self.slow.begin(self._slow_frames(x))
        for lateral, slow_stage, fast_stage in zip(self.lateral, self.slow.stages, self.fast.stages, strict=True):
            slow = slow_stage(torch.cat([slow, lateral(fast)], 1))
            fast = fast_stage(fast)
        pooled = torch.cat([fast.mean((2, 3, 4)), slow.mean((2, 3, 4))], 1)
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits

    def _slow_frames(self, x: Tensor) -> Tensor:
        a = self.architecture
        if a.slow_frames == "strided":
            return x[:, :, :: a.alpha]
        return x[:, :, torch.linspace(0, x.shape[2] - 1, x.shape[2] // a.alpha).long()]


def _lateral(channels: int, a: SlowFastArchitecture) -> nn.Module:
    kernel, stride = (a.lateral_kernel, 1, 1), (a.alpha, 1, 1)
    if a.lateral_norm:
        return nn.Sequential(ConvNorm(channels, 2 * channels, kernel, stride), activation(a.variants))
    return nn.Conv3d(channels, 2 * channels, kernel, stride, (a.lateral_kernel // 2, 0, 0), bias=False)

"""MF-Net (Chen et al., ECCV 2018): residual units whose convolutions run in 16 separate fibers, after channels were mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, InputKind, Normalise, no_images
from recognizers.networks.blocks import Triple

FIBERS, STEM = 16, 16
UNITS = (3, 4, 6, 3)  # of the four stages


@config
class MFNetArchitecture:
    """What the network is made of.

    Args:
        width: channels of the first stage, of which each of the next has twice as many; 96 as published.
    """

    frames: Annotated[int, Field(ge=2, le=256)] = 16
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    width: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 96
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: InputKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> MFNet:
        no_images(pretrained, frozen_level)
        return MFNet(self, len(actions))


class MFNet(nn.Module):
    """A stem, and four stages of which the first halves time and the others space."""

    def __init__(self, architecture: MFNetArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise("mfnet", a.input)
        self.stem = nn.Sequential(
            nn.Conv3d(CHANNELS[a.input], STEM, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False),
            nn.BatchNorm3d(STEM),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        cin, stages = STEM, []
        for i, num_units in enumerate(UNITS):
            cout, stride = a.width * 2**i, (1, 2, 2) if i else (2, 1, 1)
            first = _Unit(cin, cout, stride)
            stages.append(nn.Sequential(first, *(_Unit(cout, cout) for _ in range(num_units - 1))))
            cin = cout
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm3d(cin)
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(cin, num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        x = F.relu(self.norm(self.stages(self.stem(self.normalise(clips)))))
        logits: Tensor = self.classifier(self.dropout(x.mean((2, 3, 4))))
        return logits


class _Unit(nn.Module):
    """Channels are mixed by a narrow detour, then the fibers run, each over its own channels; all convolutions follow their norms.

    Args:
        stride: of the first unit of a stage, whose second convolution is 1x1x1 and whose skip is a convolution; None for others.
    """

    def __init__(self, cin: int, cout: int, stride: Triple | None = None) -> None:
        super().__init__()
        own = stride or (1, 1, 1)
        second = _conv(cout, cout, (1, 1, 1)) if stride else _conv(cout, cout, (1, 3, 3), groups=FIBERS)
        self.mix = nn.Sequential(*_conv(cin, cout // 4, (1, 1, 1)), *_conv(cout // 4, cin, (1, 1, 1)))
        self.fibers = nn.Sequential(*_conv(cin, cout, (3, 3, 3), own, FIBERS), *second)
        self.skip = nn.Sequential(*_conv(cin, cout, (1, 1, 1), own)) if stride else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fibers(x + self.mix(x)) + self.skip(x)
        return found


def _conv(cin: int, cout: int, kernel: Triple, stride: Triple = (1, 1, 1), groups: int = 1) -> list[nn.Module]:
    """Norm, activation, convolution."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    convolution = nn.Conv3d(cin, cout, kernel, stride, padding, groups=groups, bias=False)
    return [nn.BatchNorm3d(cin), nn.ReLU(inplace=True), convolution]

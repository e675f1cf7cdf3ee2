"""3D ResNets of 50 and 101 layers, as I3D inflates them and as the slow pathway of SlowFast alone ("Slow-only")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, ColourName, InputKind, Normalise, no_images
from recognizers.networks.blocks import Variants
from recognizers.networks.resnet3d import ResNet3d


@config
class ResNet3DArchitecture:
    """What the network is made of.

    Args:
        inflate: which stages look along time: the `last_two`, as Slow-only (Feichtenhofer et al., ICCV 2019) and its public
            weights; or `all`.
        colours: mean and deviation that its weights were trained with; PyTorchVideo's are `middle`.
        variants: of the bottlenecks, those of the VIPriors report.
    """

    frames: Annotated[int, Field(ge=2, le=256)] = 8
    interval: Annotated[int, Field(ge=1, le=1024)] = 8
    sampler: Sampler = "dense"
    depth: Literal[26, 50, 101] = 50
    width: Annotated[int, Field(ge=8, le=256)] = 64
    inflate: Literal["last_two", "all"] = "last_two"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: InputKind = "rgb"
    colours: ColourName = "imagenet"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    variants: Variants = field(default_factory=Variants)

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> ResNet3D:
        no_images(pretrained, frozen_level)
        return ResNet3D(self, len(actions))


class ResNet3D(nn.Module):
    """A 3D ResNet that keeps the number of frames up to its end."""

    def __init__(self, architecture: ResNet3DArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise(a.colours, a.input)
        inflated = (a.inflate == "all",) * 2 + (True,) * 2
        self.trunk = ResNet3d(a.depth, a.width, inflate=inflated, variants=a.variants, in_channels=CHANNELS[a.input])
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(self.trunk.out_channels, num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        logits: Tensor = self.classifier(self.dropout(self.trunk(self.normalise(clips)).mean((2, 3, 4))))
        return logits

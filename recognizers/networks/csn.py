"""Channel-separated networks (Tran et al., ICCV 2019): ir-CSN and ip-CSN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, ColourName, InputKind, Normalise, no_images
from recognizers.networks.resnet3d import ResNet3d


@config
class CSNArchitecture:
    """What the network is made of.

    Args:
        mode: ir has a depthwise middle convolution alone, ip keeps a 1x1x1 before it.
        colours, norm_eps: that its weights were trained with: PyTorchVideo's are `middle` and 1e-5.
    """

    frames: Annotated[int, Field(ge=4, le=256)] = 32
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    depth: Literal[26, 50, 101, 152] = 152
    width: Annotated[int, Field(ge=8, le=256)] = 64
    mode: Literal["ir", "ip"] = "ir"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: InputKind = "rgb"
    colours: ColourName = "imagenet"
    norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-3
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> CSN:
        no_images(pretrained, frozen_level)
        return CSN(self, len(actions))


class CSN(nn.Module):
    """A 3D ResNet whose 3x3x3 convolutions see single channels."""

    def __init__(self, architecture: CSNArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise(a.colours, a.input)
        self.trunk = ResNet3d(
            a.depth, a.width, 3, (False,) * 4, (1, 2, 2, 2), depthwise=a.mode, eps=a.norm_eps, in_channels=CHANNELS[a.input]
        )
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(self.trunk.out_channels, num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        logits: Tensor = self.classifier(self.dropout(self.trunk(self.normalise(clips)).mean((2, 3, 4))))
        return logits

"""TANet (Liu et al., ICCV 2021): a 2D ResNet with a temporal adaptive module in every block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import timm
from pydantic import Field
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

from parsing.configs import config
from parsing.errors import InputError
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Segments
from recognizers.clips.inputs import Normalise, SingleKind
from recognizers.networks.blocks import TemporalAdaptive


@config
class TANetArchitecture:
    """What the network is made of.

    Args:
        backbone: a ResNet of timm with bottlenecks.
        input: for all but `rgb`, each segment gives two neighbouring frames, and the network sees what changes between them.
    """

    backbone: str = "resnet50"
    segments: Annotated[int, Field(ge=3, le=256)] = 8
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: SingleKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @property
    def sampling(self) -> Segments:
        snippet = 1 if self.input == "rgb" else 2
        return Segments(self.segments, snippet, multiple=snippet)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> TANet:
        if frozen_level >= 0:
            raise InputError("frozen_level: tanet trains all of its weights; expected -1")
        return TANet(self, len(actions), pretrained == "imagenet")


class TANet(nn.Module):
    """Frames through a 2D network whose blocks look along time after their first convolution."""

    def __init__(self, architecture: TANetArchitecture, num_actions: int, pretrained: bool = False) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise(kind=a.input)
        if a.backbone not in timm.list_models("resnet*"):
            raise InputError(f"backbone {a.backbone!r}: expected a ResNet of timm, such as resnet50")
        self.trunk = timm.create_model(a.backbone, pretrained=pretrained, num_classes=0)
        blocks = [block for block in self.trunk.modules() if isinstance(block, Bottleneck)]
        if not blocks:
            raise InputError(f"backbone {a.backbone!r}: has no bottleneck blocks, which the temporal adaptive module goes into")
        self.adaptive = [_FramesToClips(block.conv2.in_channels, a.segments) for block in blocks]
        for block, adaptive in zip(blocks, self.adaptive, strict=True):
            block.act1 = nn.Sequential(block.act1, adaptive)
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(self.trunk.num_features, num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]: the mean over frames."""
        frames = self.normalise(clips).transpose(1, 2)
        if self.architecture.input != "rgb":
            frames = frames[:, 1::2]
        for adaptive in self.adaptive:
            adaptive.frames = frames.shape[1]
        features = self.trunk(frames.flatten(0, 1))
        logits: Tensor = self.classifier(self.dropout(features)).view(len(clips), -1, self.classifier.out_features).mean(1)
        return logits


class _FramesToClips(nn.Module):
    """The temporal adaptive module over the frames of clips, which lie side by side."""

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.frames, self.tam = segments, TemporalAdaptive(channels, segments)

    def forward(self, frames: Tensor) -> Tensor:
        clips = frames.view(-1, self.frames, *frames.shape[1:]).transpose(1, 2)
        found: Tensor = self.tam(clips).transpose(1, 2).flatten(0, 1)
        return found

"""TSM: a 2D network that shifts a part of its channels along time (Lin et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.errors import InputError
from parsing.networks.backbones import Backbone, Pretrained
from recognizers.clips.frame_sampling import Dense, Sampler, Sampling, Segments
from recognizers.clips.inputs import SingleKind

RESIDUAL_GAIN = 4.0  # differences are small beside the colours that pre-trained weights know


@config
class TSMArchitecture:
    """What the network is made of; travels in the header of its weights.

    Args:
        level: the backbone's feature level that is pooled; -1 the last.
        num_segments: segments that a video is cut into.
        snippet: frames that are taken of each segment, `step` frames apart. From two on, the classifier also sees how
            much each feature changes within the snippets, as temporal differences do (TDN, Wang et al., CVPR 2021).
        sampler: `dense` takes the clip's frames in a row, every `step`-th.
        input: frames; or, of snippets of two frames or more, the differences or the flow between neighbours.
        shift_after: only blocks after this feature level shift; -1 takes all, as published.
        shift: share of the channels that move one frame back, and as many that move one frame on.
        input_px: side of the square input.
        dropout: before the classifier.
    """

    backbone: str
    level: Annotated[int, Field(ge=-1, le=9)] = 4
    num_segments: Annotated[int, Field(ge=1, le=256)] = 8
    snippet: Annotated[int, Field(ge=1, le=32)] = 1
    step: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "uniform"
    input: SingleKind = "rgb"
    shift_after: Annotated[int, Field(ge=-1, le=9)] = -1
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.125
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @property
    def sampling(self) -> Sampling:
        if self.sampler == "dense":
            return Dense(self.num_segments * self.snippet, self.step, self.snippet)
        return Segments(self.num_segments, self.snippet, self.step, self.snippet)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> TSM:
        return TSM(self, len(actions), pretrained, frozen_level)


class TSM(nn.Module):
    """Action logits of clips.

    Args:
        frozen_level: everything up to this feature level keeps its weights; -1 trains all.

    Raises:
        InputError: the backbone has no residual blocks that a shift fits into.
    """

    def __init__(
        self,
        architecture: TSMArchitecture,
        num_actions: int,
        pretrained: Pretrained = "none",
        frozen_level: int = -1,
    ) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.images = a.snippet - (a.input == "residual")  # of a snippet, that go through the backbone
        if a.input != "rgb" and a.snippet < 2:
            raise InputError(f"snippet: {a.snippet}, expected at least 2 frames, between which motion is the input")
        self.length = _ClipLength(a.num_segments * self.images)
        self.backbone = Backbone(a.backbone, (a.level,), pretrained, freeze_norm=False, frozen_level=frozen_level)
        blocks = [block for block in self.backbone.modules_after(a.shift_after) if _takes_shift(block)]
        if not blocks:
            raise InputError(
                f"backbone {a.backbone!r}: no residual block of the ResNet or MobileNet kind after level {a.shift_after} to shift"
            )
        for block in blocks:
            # Shift what enters the residual branch and leave the skip connection alone ("residual shift").
            first = block.conv_pw if isinstance(block, InvertedResidual) else block.conv1
            assert isinstance(first, nn.Module)
            first.register_forward_pre_hook(partial(_shifted, self.length, a.shift))
        width = self.backbone.channels[0] * (2 if self.images > 1 else 1)
        # Means and changes differ in scale by orders of magnitude.
        self.scale = nn.BatchNorm1d(width, affine=False) if self.images > 1 else nn.Identity()
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(width, num_actions)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]; frames of a snippet lie side by side."""
        if self.architecture.input == "residual":
            clips = self._differences(clips)
        self.length.frames = clips.shape[1]
        (features,) = self.backbone(clips.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        snippets = features.float().unflatten(0, (clips.shape[0], -1, self.images))
        pooled = snippets.mean((1, 2, 4, 5))
        if self.images > 1:
            change = (snippets[:, :, 1:] - snippets[:, :, :-1]).abs().mean((1, 2, 4, 5))
            pooled = torch.cat([pooled, change], 1)
        logits: Tensor = self.classifier(self.dropout(self.scale(pooled)))
        return logits.float()

    def _differences(self, clips: Tensor) -> Tensor:
        """As images that are the mean colour where nothing moves."""
        snippets = clips.reshape(clips.shape[0], -1, self.architecture.snippet, *clips.shape[2:])
        images: Tensor = self.backbone.mean + RESIDUAL_GAIN * (snippets[:, :, 1:] - snippets[:, :, :-1]).flatten(1, 2)
        return images


@dataclass
class _ClipLength:
    """How many frames of a clip lie side by side: trainings may shorten clips."""

    frames: int


def _shifted(length: _ClipLength, share: float, _: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (shift_in_time(inputs[0], length.frames, share),)


def shift_in_time(features: Tensor, num_frames: int, share: float) -> Tensor:
    """Move the first `share` of the channels one frame back in time and the next `share` one frame on; zeros move in.

    Args:
        features: (B * T, C, H, W), frames of a clip next to each other.
    """
    fold = int(features.shape[1] * share)
    x = features.view(-1, num_frames, *features.shape[1:])
    back = F.pad(x[:, 1:, :fold], (0, 0, 0, 0, 0, 0, 0, 1))
    on = F.pad(x[:, :-1, fold : 2 * fold], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([back, on, x[:, :, 2 * fold :]], 2).view_as(features)


def _takes_shift(block: nn.Module) -> bool:
    """ResNet blocks all take it; MobileNet-like ones where they have a skip connection, as in the paper's code."""
    return isinstance(block, (Bottleneck, BasicBlock)) or (isinstance(block, InvertedResidual) and bool(block.has_skip))

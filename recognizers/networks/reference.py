"""Networks as torchvision has them: Video Swin (Liu et al., CVPR 2022) and S3D (Xie et al., ECCV 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torchvision.models import video
from torchvision.models.video.swin_transformer import SwinTransformer3d

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import Normalise, SingleKind, no_images


@config
class VideoSwinArchitecture:
    """Video Swin, as torchvision builds it; the large one, which it lacks, by its own rule."""

    size: Literal["tiny", "small", "base", "large"] = "base"
    frames: Annotated[int, Field(ge=2, le=256)] = 32
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: SingleKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> VideoSwin:
        no_images(pretrained, frozen_level)
        return VideoSwin(self, len(actions))


class VideoSwin(nn.Module):
    """torchvision's network with a head for other classes."""

    def __init__(self, architecture: VideoSwinArchitecture, num_actions: int) -> None:
        super().__init__()
        self.architecture, self.normalise = architecture, Normalise(kind=architecture.input)
        build = {"tiny": video.swin3d_t, "small": video.swin3d_s, "base": video.swin3d_b, "large": _swin3d_l}[architecture.size]
        self.trunk = build(num_classes=num_actions)
        self.trunk.head = nn.Sequential(nn.Dropout(architecture.dropout), nn.Linear(self.trunk.num_features, num_actions))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        logits: Tensor = self.trunk(self.normalise(clips))
        return logits


def _swin3d_l(num_classes: int) -> SwinTransformer3d:
    sizes = {"patch_size": [2, 4, 4], "embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": [8, 7, 7]}
    return SwinTransformer3d(**sizes, stochastic_depth_prob=0.1, num_classes=num_classes)


@config
class S3DArchitecture:
    """S3D, as torchvision builds it."""

    frames: Annotated[int, Field(ge=2, le=256)] = 64
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: SingleKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> S3D:
        no_images(pretrained, frozen_level)
        return S3D(self, len(actions))


class S3D(nn.Module):
    """torchvision's network, which also takes clips that are shorter or smaller than its last pooling."""

    def __init__(self, architecture: S3DArchitecture, num_actions: int) -> None:
        super().__init__()
        self.architecture, self.normalise = architecture, Normalise("kinetics", architecture.input)
        self.trunk = video.s3d()
        self.trunk.classifier = nn.Sequential(nn.Dropout(architecture.dropout), nn.Linear(1024, num_actions))
        self.trunk.features[-3].ceil_mode = True  # else nothing is left of a clip of seven frames
        for layer in (module for module in self.trunk.features.modules() if isinstance(module, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # of torchvision's start nothing is left after 20 layers

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        maps = self.trunk.features(self.normalise(clips))
        whole = all(size >= kernel for size, kernel in zip(maps.shape[2:], self.trunk.avgpool.kernel_size, strict=True))
        logits: Tensor = self.trunk.classifier((self.trunk.avgpool(maps) if whole else maps).mean((2, 3, 4)))
        return logits

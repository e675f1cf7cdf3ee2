"""Networks whose layers torchvision has: Video Swin (Liu et al., CVPR 2022), R(2+1)D and R3D (Tran et al., CVPR 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torchvision.models import video
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv2Plus1D, Conv3DSimple, R2Plus1dStem, VideoResNet
from torchvision.models.video.swin_transformer import SwinTransformer3d

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, InputKind, Normalise, SingleKind, no_images

BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}


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
class R2Plus1DArchitecture:
    """R(2+1)D of 18 or 34 layers; the 34-layer one is laid out as the weights of IG-65M."""

    depth: Literal[18, 34] = 34
    frames: Annotated[int, Field(ge=2, le=256)] = 32
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 112
    input: InputKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> R3D:
        no_images(pretrained, frozen_level)
        return R3D(self, len(actions))


@config
class R3DArchitecture:
    """R3D of 18 or 34 layers, whose kernels are all 3x3x3."""

    depth: Literal[18, 34] = 18
    frames: Annotated[int, Field(ge=2, le=256)] = 16
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 112
    input: InputKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> R3D:
        no_images(pretrained, frozen_level)
        return R3D(self, len(actions))


class R3D(nn.Module):
    """torchvision's `VideoResNet`, with plain convolutions or, as R(2+1)D, factorised ones."""

    def __init__(self, architecture: R2Plus1DArchitecture | R3DArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise("kinetics", a.input)
        factorised = isinstance(a, R2Plus1DArchitecture)
        convolution, stem = (Conv2Plus1D, R2Plus1dStem) if factorised else (Conv3DSimple, BasicStem)
        self.trunk = VideoResNet(BasicBlock, [convolution] * 4, BLOCKS[a.depth], stem, num_actions)
        first = self.trunk.stem[0]
        if (channels := CHANNELS[a.input]) != first.in_channels:
            self.trunk.stem[0] = nn.Conv3d(channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)
        if factorised and a.depth == 34:  # the original counts the width between space and time from the block's output
            for stage, planes in ((self.trunk.layer2, 128), (self.trunk.layer3, 256), (self.trunk.layer4, 512)):
                stage[0].conv2[0] = Conv2Plus1D(planes, planes, planes * 9 // 4)
            for norm in (module for module in self.trunk.modules() if isinstance(module, nn.BatchNorm3d)):
                norm.eps = 1e-3
        self.trunk.fc = nn.Sequential(nn.Dropout(a.dropout), nn.Linear(512, num_actions))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        logits: Tensor = self.trunk(self.normalise(clips))
        return logits

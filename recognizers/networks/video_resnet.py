"""R3D and R(2+1)D (Tran et al., CVPR 2018), of torchvision's layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv2Plus1D, Conv3DSimple, R2Plus1dStem, VideoResNet

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, ColourName, InputKind, Normalise, no_images
from recognizers.networks.blocks import Triple

BLOCKS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}
WIDTHS = (64, 128, 256, 512)


@config
class R2Plus1DArchitecture:
    """R(2+1)D of 18 or 34 layers.

    Args:
        layout: `published`, with 34 layers as the weights of IG-65M; or `pooled`, as mmaction2 builds it: a pooled stem,
            factorised shortcuts, and a width between space and time that each convolution counts from its own channels.
        colours: mean and deviation that its weights were trained with; mmaction2's are `imagenet`.
    """

    depth: Literal[18, 34] = 34
    layout: Literal["published", "pooled"] = "published"
    frames: Annotated[int, Field(ge=2, le=256)] = 32
    interval: Annotated[int, Field(ge=1, le=1024)] = 2
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 112
    input: InputKind = "rgb"
    colours: ColourName = "kinetics"
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
        channels = CHANNELS[a.input]
        if isinstance(a, R3DArchitecture):
            self.normalise = Normalise("kinetics", a.input)
            self.trunk = VideoResNet(BasicBlock, [Conv3DSimple] * 4, BLOCKS[a.depth], BasicStem, num_actions)
        else:
            self.normalise = Normalise(a.colours, a.input)
            self.trunk = _published(a.depth) if a.layout == "published" else _pooled(a.depth, channels)
        if (first := self.trunk.stem[0]).in_channels != channels:
            self.trunk.stem[0] = nn.Conv3d(channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)
        self.trunk.fc = nn.Sequential(nn.Dropout(a.dropout), nn.Linear(WIDTHS[-1], num_actions))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        logits: Tensor = self.trunk(self.normalise(clips))
        return logits


def _published(depth: int) -> VideoResNet:
    trunk = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, BLOCKS[depth], R2Plus1dStem)
    if depth == 34:  # the original counts the width between space and time from the block's output
        for stage, planes in ((trunk.layer2, 128), (trunk.layer3, 256), (trunk.layer4, 512)):
            stage[0].conv2[0] = Conv2Plus1D(planes, planes, planes * 9 // 4)
        for norm in (module for module in trunk.modules() if isinstance(module, nn.BatchNorm3d)):
            norm.eps = 1e-3
    return trunk


def _pooled(depth: int, channels: int) -> VideoResNet:
    trunk = VideoResNet(BasicBlock, [_OwnWidth] * 4, BLOCKS[depth], lambda: _pooled_stem(channels))
    for stage, (entering, planes) in zip((trunk.layer2, trunk.layer3, trunk.layer4), itertools.pairwise(WIDTHS), strict=True):
        stage[0].downsample[0] = _Factorised(entering, planes, (1, 1, 1), (2, 2, 2))
    inner = {id(module[1]) for module in trunk.modules() if isinstance(module, _Factorised)}
    for norm in (module for module in trunk.modules() if isinstance(module, nn.BatchNorm3d)):
        norm.eps = 1e-5 if id(norm) in inner else 1e-3
    return trunk


def _pooled_stem(channels: int) -> nn.Sequential:
    convolution = _Factorised(channels, WIDTHS[0], (3, 7, 7), (1, 2, 2))
    pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    return nn.Sequential(convolution, nn.BatchNorm3d(WIDTHS[0]), nn.ReLU(inplace=True), pool)


class _Factorised(nn.Sequential):
    """A convolution in space, a norm, and one over time, with about as many weights as one over both."""

    def __init__(self, cin: int, cout: int, kernel: Triple, stride: Triple) -> None:
        time, area = kernel[0], kernel[1] * kernel[2]
        between = 3 * cin * cout * area // (cin * area + 3 * cout)  # as if every kernel saw three frames
        space = nn.Conv3d(cin, between, (1, *kernel[1:]), (1, *stride[1:]), (0, kernel[1] // 2, kernel[2] // 2), bias=False)
        along = nn.Conv3d(between, cout, (time, 1, 1), (stride[0], 1, 1), (time // 2, 0, 0), bias=False)
        super().__init__(space, nn.BatchNorm3d(between), nn.ReLU(inplace=True), along)
        self.in_channels = cin


class _OwnWidth(_Factorised):
    """As torchvision's blocks call it, who would count one width for all of a block's convolutions."""

    def __init__(self, cin: int, cout: int, _between: int, stride: int = 1, _padding: int = 1) -> None:
        super().__init__(cin, cout, (3, 3, 3), (stride, stride, stride))

    @staticmethod
    def get_downsample_stride(stride: int) -> Triple:
        return stride, stride, stride

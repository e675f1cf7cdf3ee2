"""What residual networks over space and time are made of, with the variants of the VIPriors report (DeepBlue, 2020).

Inputs and outputs are (B, C, T, H, W).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config

Triple = tuple[int, int, int]


@config
class Variants:
    """Changes to the bottlenecks of a 3D ResNet, alone or together (VIPriors report, Table 1).

    Args:
        activation: ELU instead of ReLU.
        pooling: convolutions that go down in space do it by max-pooling instead of their stride.
        kernels: of the middle convolution. `plain`; `2plus1d`, a spatial and a temporal one in a row (Tran et al. 2018);
            `mixed`, the sum of 1x3x3, 3x3x1 and 3x1x3, as we read the report's "3*3+3*1+1*3".
        squeeze_excite: channels weighed by what the whole clip shows (Hu et al. 2018).
        tam: temporal adaptive module before the middle convolution (Liu et al. 2021).
        attention: the block's output weighed over frames and over places (Woo et al. 2018, with time).
        non_local: stages, counted from 1, whose every second block is followed by a non-local block (Wang et al. 2018).
    """

    activation: Literal["relu", "elu"] = "relu"
    pooling: bool = False
    kernels: Literal["plain", "2plus1d", "mixed"] = "plain"
    squeeze_excite: bool = False
    tam: bool = False
    attention: bool = False
    non_local: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(max_length=4)] = ()


def activation(variants: Variants) -> nn.Module:
    return nn.ELU(inplace=True) if variants.activation == "elu" else nn.ReLU(inplace=True)


def times(embeddings: Tensor, num_frames: int) -> Tensor:
    """(1, T, C) embeddings of the frames of a clip, interpolated from those of another length."""
    if embeddings.shape[1] == num_frames:
        return embeddings
    return F.interpolate(embeddings.transpose(1, 2), num_frames, mode="linear", align_corners=False).transpose(1, 2)


class ConvNorm(nn.Sequential):
    """A convolution without bias, and batch norm."""

    def __init__(self, cin: int, cout: int, kernel: Triple, stride: Triple = (1, 1, 1), groups: int = 1, eps: float = 1e-5) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(nn.Conv3d(cin, cout, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm3d(cout, eps))


class Bottleneck3d(nn.Module):
    """1x1x1 (or 3x1x1 where inflated), 3x3 in space, 1x1x1, and a skip.

    Args:
        stride: (time, space, space) of the middle convolution.
        inflate: the first convolution also looks one frame back and one on.
        depthwise: the middle one is 3x3x3 over single channels: `ir` alone, `ip` after a 1x1x1 (Tran et al., CSN, 2019).
    """

    expansion = 4

    def __init__(
        self,
        cin: int,
        planes: int,
        stride: Triple,
        inflate: bool,
        downsample: bool,
        variants: Variants,
        depthwise: Literal["no", "ir", "ip"] = "no",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        cout = planes * self.expansion
        self.conv1 = ConvNorm(cin, planes, (3 if inflate else 1, 1, 1), eps=eps)
        pooled = variants.pooling and max(stride) > 1
        self.tam = TemporalAdaptive(planes) if variants.tam else nn.Identity()
        self.conv2 = _middle(planes, (1, 1, 1) if pooled else stride, variants, depthwise, eps)
        self.pool = nn.MaxPool3d(_pool_kernel(stride), stride, tuple(k // 2 for k in _pool_kernel(stride))) if pooled else nn.Identity()
        self.conv3 = ConvNorm(planes, cout, (1, 1, 1), eps=eps)
        self.weigh = nn.Sequential(
            *([SqueezeExcite(cout)] if variants.squeeze_excite else []), *([SpaceTimeAttention()] if variants.attention else [])
        )
        if not downsample:
            self.downsample: nn.Module = nn.Identity()
        elif pooled:
            self.downsample = nn.Sequential(nn.MaxPool3d(stride, stride, ceil_mode=True), ConvNorm(cin, cout, (1, 1, 1), eps=eps))
        else:
            self.downsample = ConvNorm(cin, cout, (1, 1, 1), stride, eps=eps)
        self.act1, self.act2, self.act3 = activation(variants), activation(variants), activation(variants)

    def forward(self, x: Tensor) -> Tensor:
        out = self.tam(self.act1(self.conv1(x)))
        out = self.weigh(self.conv3(self.pool(self.act2(self.conv2(out)))))
        result: Tensor = self.act3(out + self.downsample(x))
        return result


def _pool_kernel(stride: Triple) -> Triple:
    return tuple(3 if s > 1 else 1 for s in stride)  # type: ignore[return-value]


def _middle(planes: int, stride: Triple, variants: Variants, depthwise: str, eps: float) -> nn.Module:
    if depthwise != "no":
        before = [ConvNorm(planes, planes, (1, 1, 1), eps=eps)] if depthwise == "ip" else []
        return nn.Sequential(*before, ConvNorm(planes, planes, (3, 3, 3), stride, planes, eps))
    if variants.kernels == "2plus1d":
        space, time = (1, stride[1], stride[2]), (stride[0], 1, 1)
        return nn.Sequential(
            ConvNorm(planes, planes, (1, 3, 3), space, eps=eps), activation(variants), ConvNorm(planes, planes, (3, 1, 1), time, eps=eps)
        )
    if variants.kernels == "mixed":
        return MixedConv(planes, stride, eps)
    return ConvNorm(planes, planes, (1, 3, 3), stride, eps=eps)


class MixedConv(nn.Module):
    """The sum of convolutions in the three planes of space and time."""

    def __init__(self, planes: int, stride: Triple, eps: float) -> None:
        super().__init__()
        kernels: tuple[Triple, ...] = ((1, 3, 3), (3, 3, 1), (3, 1, 3))
        self.branches = nn.ModuleList(ConvNorm(planes, planes, kernel, stride, eps=eps) for kernel in kernels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


class SqueezeExcite(nn.Module):
    """Weighs channels by the clip's mean of all of them."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(4, channels // reduction)
        self.reduce, self.expand = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(F.relu(self.reduce(x.mean((2, 3, 4))))).sigmoid()
        weighed: Tensor = x * gate[:, :, None, None, None]
        return weighed


class SpaceTimeAttention(nn.Module):
    """Weighs frames by their mean and highest feature, then places by theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Conv1d(2, 1, 3, padding=1)
        self.space = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        frames = torch.stack([x.mean((1, 3, 4)), x.amax((1, 3, 4))], 1)
        x = x * self.time(frames).sigmoid()[:, :, :, None, None]
        places = torch.stack([x.mean((1, 2)), x.amax((1, 2))], 1)
        weighed: Tensor = x * self.space(places).sigmoid()[:, :, None]
        return weighed


class TemporalAdaptive(nn.Module):
    """TAM (Liu et al., ICCV 2021): a kernel over time that each clip and channel computes for itself, after a gate.

    Frames are resampled to `num_frames` for the branch that computes the kernel, so clips of any length fit.
    """

    def __init__(self, channels: int, num_frames: int = 8, alpha: int = 2, kernel: int = 3, beta: int = 4) -> None:
        super().__init__()
        self.num_frames, self.kernel = num_frames, kernel
        self.G = nn.Sequential(
            nn.Linear(num_frames, num_frames * alpha, bias=False),
            nn.BatchNorm1d(num_frames * alpha),
            nn.ReLU(inplace=True),
            nn.Linear(num_frames * alpha, kernel, bias=False),
            nn.Softmax(-1),
        )
        hidden = max(1, channels // beta)
        self.L = nn.Sequential(
            nn.Conv1d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv1d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, t, h, w = x.shape
        means = x.mean((3, 4))
        series = means if t == self.num_frames else F.interpolate(means, self.num_frames, mode="linear", align_corners=False)
        kernel = self.G(series.reshape(b * c, self.num_frames))
        gated = x * self.L(means)[..., None, None]
        flat = gated.reshape(1, b * c, t, h * w)
        out = F.conv2d(flat, kernel.view(b * c, 1, self.kernel, 1), padding=(self.kernel // 2, 0), groups=b * c)
        return out.view(b, c, t, h, w)


class NonLocal(nn.Module):
    """Every place of every frame sees all others (embedded Gaussian), keys pooled by 2 in space; starts as nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.query, self.key, self.value = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.pool = nn.MaxPool3d((1, 2, 2), ceil_mode=True)
        self.out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        small = self.pool(x)
        queries, keys, values = (part.flatten(2).transpose(1, 2) for part in (self.query(x), self.key(small), self.value(small)))
        seen = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2)
        added: Tensor = x + self.norm(self.out(seen.reshape(len(x), -1, *x.shape[2:])))
        return added


def check_transformer(width: int, heads: int, input_px: int, patch_px: int) -> None:
    """Raises ValueError: heads do not divide the width, or patches the picture."""
    if width % heads:
        raise ValueError(f"width {width} is no multiple of heads {heads}")
    if input_px % patch_px:
        raise ValueError(f"input_px {input_px} is no multiple of patch_px {patch_px}")

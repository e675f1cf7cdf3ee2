"""Optical flow by a pyramid of small networks (SPyNet: Ranjan & Black, Optical Flow Estimation using a Spatial Pyramid Network,
CVPR 2017), in the form of BasicVSR: without batch norms, input resized to what the pyramid divides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL_PX = 7


class SPyNet(nn.Module):
    """Flow from one image to another.

    Args:
        levels: of the pyramid, each half as large as the one before; 6 are published.
        channels: between the convolutions of a level; (32, 64, 32, 16) are published.
    """

    def __init__(self, levels: int = 6, channels: Sequence[int] = (32, 64, 32, 16)) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_level(channels) for _ in range(levels))
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """(N, 2, H, W) flow in pixels, x first: where each pixel of `images` lies in `others`.

        Args:
            images, others: (N, 3, H, W) RGB in [0, 1], of any size.
        """
        height, width = images.shape[2:]
        multiple = 2 ** (len(self.levels) - 1)
        size = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        flow = _resized(self._pyramid_flow(_resized(images, size), _resized(others, size)), (height, width))
        return flow * flow.new_tensor([width / size[1], height / size[0]]).view(1, 2, 1, 1)

    def _pyramid_flow(self, images: Tensor, others: Tensor) -> Tensor:
        pyramid = [((images - self.mean) / self.std, (others - self.mean) / self.std)]
        for _ in range(len(self.levels) - 1):
            image, other = pyramid[-1]
            pyramid.append((F.avg_pool2d(image, 2), F.avg_pool2d(other, 2)))
        flow = torch.zeros_like(pyramid[-1][0][:, :2])
        for level, (image, other) in zip(self.levels, reversed(pyramid), strict=True):
            if flow.shape[2:] != image.shape[2:]:
                flow = 2 * F.interpolate(flow, image.shape[2:], mode="bilinear", align_corners=True)
            flow = flow + level(torch.cat([image, warp(other, flow, "border"), flow], 1))
        return flow


def _level(channels: Sequence[int]) -> nn.Sequential:
    """From an image, the other as warped so far and the flow so far to what the flow lacks; no correction at first."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((8, *channels, 2)):
        layers += [nn.Conv2d(fan_in, fan_out, KERNEL_PX, padding=KERNEL_PX // 2), nn.ReLU()]
    last = layers[-2]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]  # a convolution's
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    return images if images.shape[2:] == size else F.interpolate(images, size, mode="bilinear", align_corners=False)


def warp(values: Tensor, flow: Tensor, padding: str = "zeros") -> Tensor:
    """Values taken from where the flow points, bilinearly.

    Args:
        values: (N, C, H, W).
        flow: (N, 2, H, W) in pixels, x first.
        padding: what lies outside: `zeros`, or `border`, the nearest pixel.
    """
    height, width = values.shape[2:]
    flow = flow.float()  # half precision would place pixels too coarsely
    y, x = torch.meshgrid(torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij")
    at_x = 2 * (x + flow[:, 0]) / max(width - 1, 1) - 1
    at_y = 2 * (y + flow[:, 1]) / max(height - 1, 1) - 1
    grid = torch.stack([at_x, at_y], 3)
    return F.grid_sample(values.float(), grid, mode="bilinear", padding_mode=padding, align_corners=True).to(values.dtype)

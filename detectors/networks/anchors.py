"""Anchors on fixed strides, and the pyramid of features that they stand on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

ExtraLevels = Literal["pool", "on_input", "on_output"]
MOST_SIZES = 8  # of images whose anchors are kept


class Anchors(nn.Module):
    """Boxes of every size and ratio around every position of every level.

    Args:
        sizes: sides in pixels of each level's anchors.
        ratios: height / width.
        strides: pixels between positions of each level.
        rounded: whole pixels, and strides that divide the padded image by the map, as torchvision's own detectors were
            trained with; those of OpenMMLab have exact boxes and fixed strides.
    """

    def __init__(self, sizes: tuple[tuple[float, ...], ...], ratios: tuple[float, ...], strides: list[int], rounded: bool = False) -> None:
        super().__init__()
        self.strides, self.rounded = strides, rounded
        root = torch.tensor(ratios).sqrt()
        for level, level_sizes in enumerate(sizes):
            side = torch.tensor(level_sizes, dtype=torch.float32)
            half_w, half_h = (side / root[:, None]).flatten() / 2, (side * root[:, None]).flatten() / 2
            cell = torch.stack([-half_w, -half_h, half_w, half_h], 1)
            self.register_buffer(f"cell{level}", cell.round() if rounded else cell, persistent=False)
        self.num_levels, self.per_position = len(sizes), len(ratios) * len(sizes[0])
        self._of_sizes: dict[tuple[object, ...], list[Tensor]] = {}

    cell0: Tensor

    def num_anchors_per_location(self) -> list[int]:
        return [self.per_position] * self.num_levels

    def of_levels(self, features: list[Tensor], images: Tensor) -> list[Tensor]:
        """(H * W * A, 4) px of each level: row by row, all anchors of a position together.

        Those of the last sizes are kept, as the frames of a video have one.

        Args:
            images: the padded batch (B, C, H, W) that the features are of.
        """
        key = (images.shape[-2:], *(feature.shape[-2:] for feature in features), self.cell0.device, self.cell0.dtype)
        found = self._of_sizes.get(key)  # once: other threads may put theirs in
        if found is None:
            with torch.inference_mode(False):  # training may meet them later
                found = self._made(features, images)
            kept = self._of_sizes if len(self._of_sizes) < MOST_SIZES else {}
            self._of_sizes = {**kept, key: found}
        return found

    def _made(self, features: list[Tensor], images: Tensor) -> list[Tensor]:
        found = []
        for level, (feature, stride) in enumerate(zip(features, self.strides, strict=True)):
            cell = getattr(self, f"cell{level}")
            height, width = feature.shape[-2:]
            step_y, step_x = (images.shape[-2] // height, images.shape[-1] // width) if self.rounded else (stride, stride)
            y = torch.arange(height, device=cell.device, dtype=cell.dtype) * step_y
            x = torch.arange(width, device=cell.device, dtype=cell.dtype) * step_x
            grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
            shift = torch.stack([grid_x, grid_y, grid_x, grid_y], -1).reshape(-1, 1, 4)
            found.append((shift + cell).reshape(-1, 4))
        return found

    def forward(self, images: Any, features: list[Tensor]) -> list[Tensor]:
        """All levels' anchors for each image of torchvision's `ImageList`."""
        together = torch.cat(self.of_levels(features, images.tensors))
        return [together] * len(images.image_sizes)


class _ConvLevels(ExtraFPNBlock):  # type: ignore[misc]
    """Two coarser levels by strided convolutions, from the backbone's last level or from the pyramid's."""

    def __init__(self, in_channels: int, channels: int, source: ExtraLevels) -> None:
        super().__init__()
        self.source = source
        self.p6 = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        for module in (self.p6, self.p7):
            nn.init.kaiming_uniform_(module.weight, a=1)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        p6 = self.p6(x[-1] if self.source == "on_input" else results[-1])
        return [*results, p6, self.p7(p6)], [*names, "p6", "p7"]


class Pyramid(nn.Module):
    """Feature pyramid (Lin et al., CVPR 2017) with coarser levels on top: one pooled, or two convolved.

    Args:
        in_channels: channels of the backbone's levels.
        strides: their strides; `strides` of the pyramid go on with the coarser ones.
        norm: after each convolution but the coarser levels' own; None gives them biases.
    """

    def __init__(
        self, in_channels: list[int], strides: list[int], channels: int, extra: ExtraLevels, norm: Callable[..., nn.Module] | None = None
    ) -> None:
        super().__init__()
        source = in_channels[-1] if extra == "on_input" else channels
        block = LastLevelMaxPool() if extra == "pool" else _ConvLevels(source, channels, extra)
        self.fpn = FeaturePyramidNetwork(in_channels, channels, block, norm)
        self.strides = [*strides, *(strides[-1] * 2 ** (i + 1) for i in range(1 if extra == "pool" else 2))]

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        found: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(i), level) for i, level in enumerate(levels)))
        return list(found.values())

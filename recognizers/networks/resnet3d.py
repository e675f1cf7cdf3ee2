"""3D ResNets of bottlenecks: the pathways of SlowFast, and CSN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from recognizers.networks.blocks import Bottleneck3d, ConvNorm, NonLocal, Triple, Variants, activation

BLOCKS = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class ResNet3d(nn.Module):
    """Stem and four stages.

    Args:
        depth: 26, 50, 101 or 152.
        width: channels of the stem; the last stage has 32 times as many.
        stem_kernel: frames that the 7x7 stem sees.
        inflate: for each stage, whether first convolutions look over three frames.
        temporal_strides: of the stages.
        lateral: channels that another pathway adds before each stage.
        depthwise, eps: as in `Bottleneck3d`.
        in_channels: of the clips.
    """

    def __init__(
        self,
        depth: int,
        width: int = 64,
        stem_kernel: int = 1,
        inflate: Sequence[bool] = (True,) * 4,
        temporal_strides: Sequence[int] = (1, 1, 1, 1),
        lateral: Sequence[int] = (0, 0, 0, 0),
        variants: Variants | None = None,
        depthwise: Literal["no", "ir", "ip"] = "no",
        eps: float = 1e-5,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        variants = variants or Variants()
        self.stem = ConvNorm(in_channels, width, (stem_kernel, 7, 7), (1, 2, 2), eps=eps)
        self.act, self.pool = activation(variants), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.stages = nn.ModuleList()
        cin = width
        for i, num_blocks in enumerate(BLOCKS[depth]):
            planes, spatial = width * 2**i, 1 if i == 0 else 2
            stride: Triple = (temporal_strides[i], spatial, spatial)
            blocks: list[nn.Module] = []
            for j in range(num_blocks):
                first = j == 0
                entering = cin + lateral[i] if first else planes * Bottleneck3d.expansion
                own = stride if first else (1, 1, 1)
                blocks.append(Bottleneck3d(entering, planes, own, inflate[i], first, variants, depthwise, eps))
                if i + 1 in variants.non_local and j % 2 == 1:
                    blocks.append(NonLocal(planes * Bottleneck3d.expansion))
            self.stages.append(nn.Sequential(*blocks))
            cin = planes * Bottleneck3d.expansion
        self.out_channels = cin

    def begin(self, clips: Tensor) -> Tensor:
        """What the first stage takes."""
        pooled: Tensor = self.pool(self.act(self.stem(clips)))
        return pooled

    def forward(self, clips: Tensor) -> Tensor:
        """(B, C, T', H / 32, W / 32) of (B, C, T, H, W)."""
        x = self.begin(clips)
        for stage in self.stages:
            x = stage(x)
        return x

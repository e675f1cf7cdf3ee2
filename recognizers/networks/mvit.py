"""MViT of both versions (Fan et al., ICCV 2021; Li et al., CVPR 2022), of torchvision's layers, for clips of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video import mvit

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import ColourName, Normalise, SingleKind, no_images
from recognizers.networks.blocks import times

WIDTH = 96


class Layout(NamedTuple):
    """Blocks, those that halve their map and double their heads, and whether it is of the second version."""

    depth: int
    halving: tuple[int, int, int]
    second: bool


LAYOUTS = {
    "v1_base": Layout(16, (1, 3, 14), False),
    "v1_base_24": Layout(24, (2, 5, 21), False),
    "v2_small": Layout(16, (1, 3, 14), True),
    "v2_base": Layout(24, (2, 5, 21), True),
}


@config
class MViTArchitecture:
    """What the network is made of.

    Args:
        size: of the first version, that of clips of 16 frames and the deeper one of 32; of the second, small and base.
        frames, input_px: that its positions are made for; those of other clips are interpolated.
        colours: mean and deviation that its weights were trained with; those of mmaction2's own training are `imagenet`.
    """

    size: Literal["v1_base", "v1_base_24", "v2_small", "v2_base"] = "v2_small"
    frames: Annotated[int, Field(ge=2, le=256)] = 16
    interval: Annotated[int, Field(ge=1, le=1024)] = 4
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    input: SingleKind = "rgb"
    colours: ColourName = "middle"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.2

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> MViT:
        no_images(pretrained, frozen_level)
        return MViT(self, len(actions))


class MViT(nn.Module):
    """torchvision's network, without its fixed size of clips."""

    def __init__(self, architecture: MViTArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise(a.colours, a.input)
        second = LAYOUTS[a.size].second
        self.trunk = mvit.MViT(
            (a.input_px, a.input_px),
            a.frames,
            _blocks(LAYOUTS[a.size]),
            residual_pool=second,
            residual_with_cls_embed=False,
            rel_pos_embed=second,
            proj_after_attn=second,
            dropout=a.dropout,
            stochastic_depth_prob=a.drop_path,
            num_classes=num_actions,
        )

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        maps = self.trunk.conv_proj(self.normalise(clips))
        size = tuple(maps.shape[2:])
        tokens = self._placed(maps.flatten(2).transpose(1, 2), size)
        for block in self.trunk.blocks:
            tokens, size = block(tokens, size)
        logits: Tensor = self.trunk.head(self.trunk.norm(tokens)[:, 0])
        return logits

    def _placed(self, patches: Tensor, size: tuple[int, ...]) -> Tensor:
        """(B, 1 + T * H * W, C): the clip's own token, and patches, which know their places in the first version."""
        own = self.trunk.pos_encoding
        if own.spatial_pos is None or size == (own.temporal_size, *own.spatial_size):
            placed: Tensor = own(patches)
            return placed
        grid = own.spatial_pos.T.reshape(1, -1, *own.spatial_size)
        places = F.interpolate(grid, size[1:], mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        moments = times(own.temporal_pos[None], size[0])
        everywhere = (moments[:, :, None] + places[:, None]).flatten(1, 2)
        token = (own.class_token + own.class_pos).expand(len(patches), 1, -1)
        return torch.cat([token, patches + everywhere], 1)


def _blocks(layout: Layout) -> list[mvit.MSBlockConfig]:
    """Heads, widths, kernels and strides. The first version widens in the perceptron before a halving, the second in its attention."""
    blocks, entering, heads, keys = [], WIDTH, 1, 8
    for place in range(layout.depth):
        halves = place in layout.halving
        heads, keys = (2 * heads, keys // 2) if halves else (heads, keys)
        widens = halves if layout.second else place + 1 in layout.halving
        leaving = 2 * entering if widens else entering
        queries = [3, 3, 3] if layout.second or halves else []
        stride = ([1, 2, 2] if halves else [1, 1, 1]) if queries else []
        blocks.append(mvit.MSBlockConfig(heads, entering, leaving, queries, [3, 3, 3], stride, [1, keys, keys]))
        entering = leaving
    return blocks

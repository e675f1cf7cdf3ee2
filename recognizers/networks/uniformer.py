"""UniFormer (Li et al., ICLR 2022): convolutions that aggregate locally in two stages, attention over all tokens in two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.networks.backbones import Pretrained
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, InputKind, Normalise, no_images

SIZES = {"tiny": (1, 1, 2, 1), "small": (3, 4, 8, 3), "base": (5, 8, 20, 7)}
WIDTHS, HEAD_WIDTH = (64, 128, 320, 512), 64


@config
class UniFormerArchitecture:
    """What the network is made of; `size` small and base are published."""

    size: Literal["tiny", "small", "base"] = "base"
    frames: Annotated[int, Field(ge=2, le=256)] = 16
    interval: Annotated[int, Field(ge=1, le=1024)] = 4
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024, multiple_of=32)] = 224
    input: InputKind = "rgb"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> UniFormer:
        no_images(pretrained, frozen_level)
        return UniFormer(self, len(actions))


class UniFormer(nn.Module):
    """Four stages, each entered by a strided embedding; the first also halves time."""

    def __init__(self, architecture: UniFormerArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise("middle", a.input)
        depths = SIZES[a.size]
        rates = iter(torch.linspace(0, a.drop_path, sum(depths)).tolist())
        self.embeddings = nn.ModuleList(
            _Embedding(cin, cout, (3, 4, 4) if i == 0 else (1, 2, 2))
            for i, (cin, cout) in enumerate(zip((CHANNELS[a.input], *WIDTHS[:3]), WIDTHS, strict=True))
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*((_ConvBlock if i < 2 else _AttentionBlock)(width, next(rates)) for _ in range(depth)))
            for i, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True))
        )
        self.norm = nn.BatchNorm3d(WIDTHS[-1])
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(WIDTHS[-1], num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        x = self.normalise(clips)
        for embedding, stage in zip(self.embeddings, self.stages, strict=True):
            x = stage(embedding(x))
        logits: Tensor = self.classifier(self.dropout(self.norm(x).mean((2, 3, 4))))
        return logits


class _Embedding(nn.Module):
    def __init__(self, cin: int, cout: int, kernel: tuple[int, int, int]) -> None:
        super().__init__()
        time, space, _ = kernel
        self.proj = nn.Conv3d(cin, cout, kernel, (2 if time == 3 else 1, space, space), (time // 2, 0, 0))
        self.norm = nn.LayerNorm(cout)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        return found


class _ConvBlock(nn.Module):
    """Local aggregation by a 5x5x5 depthwise convolution, then a pointwise perceptron."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)
        self.norm1, self.norm2 = nn.BatchNorm3d(dim), nn.BatchNorm3d(dim)
        self.conv1, self.conv2 = nn.Conv3d(dim, dim, 1), nn.Conv3d(dim, dim, 1)
        self.attn = nn.Conv3d(dim, dim, 5, padding=2, groups=dim)
        self.fc1, self.fc2 = nn.Conv3d(dim, 4 * dim, 1), nn.Conv3d(4 * dim, dim, 1)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.drop_path(self.conv2(self.attn(self.conv1(self.norm1(x)))))
        found: Tensor = x + self.drop_path(self.fc2(F.gelu(self.fc1(self.norm2(x)))))
        return found


class _AttentionBlock(nn.Module):
    """Global aggregation by attention over all places of all frames."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.heads = dim // HEAD_WIDTH
        self.pos_embed = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        tokens: Tensor = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.drop_path(self._attend(self.norm1(tokens)))
        tokens = tokens + self.drop_path(self.fc2(F.gelu(self.fc1(self.norm2(tokens)))))
        return tokens.transpose(1, 2).reshape(x.shape)

    def _attend(self, tokens: Tensor) -> Tensor:
        b, n, c = tokens.shape
        queries, keys, values = self.qkv(tokens).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        seen: Tensor = self.proj(F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).reshape(b, n, c))
        return seen

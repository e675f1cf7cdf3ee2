"""TimeSformer (Bertasius et al., ICML 2021): patches of frames attend along time, then within their frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import timm
import torch
from pydantic import Field
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.errors import InputError
from parsing.networks.backbones import Pretrained
from parsing.networks.checkpoints import fill, rewrite
from parsing.networks.tensors import read_tensors
from recognizers.clips.frame_sampling import Sampler, Sampling, clip_sampling
from recognizers.clips.inputs import CHANNELS, ColourName, InputKind, Normalise, no_images
from recognizers.networks.blocks import check_transformer, times

IMAGES = "vit_base_patch16_224"  # of timm, with the weights that the paper starts from
# Its names -> those of a block, whose attention along time starts as a copy of that in space.
_FROM_IMAGES = (
    (r"\.norm1\.", ".space.norm."),
    (r"\.attn\.", ".space."),
    (r"\.norm2\.", ".norm."),
    (r"\.mlp\.", "."),
    (r"^patch_embed\.proj\.", "patch_embed."),
)


@config
class TimeSformerArchitecture:
    """What the network is made of; the base size is published.

    Args:
        frames, input_px: that its embeddings of time and place are made for; others are interpolated.
        width, depth, heads: of the transformer.
        colours: mean and deviation that its weights were trained with: `half` of mmaction2, `middle` of the authors.
    """

    frames: Annotated[int, Field(ge=2, le=256)] = 8
    interval: Annotated[int, Field(ge=1, le=1024)] = 32
    sampler: Sampler = "dense"
    input_px: Annotated[int, Field(ge=32, le=1024)] = 224
    patch_px: Annotated[int, Field(ge=4, le=64)] = 16
    width: Annotated[int, Field(ge=8, le=2048)] = 768
    depth: Annotated[int, Field(ge=1, le=48)] = 12
    heads: Annotated[int, Field(ge=1, le=64)] = 12
    input: InputKind = "rgb"
    colours: ColourName = "half"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        check_transformer(self.width, self.heads, self.input_px, self.patch_px)

    @property
    def sampling(self) -> Sampling:
        return clip_sampling(self.sampler, self.frames, self.interval)

    def build(self, actions: Sequence[str], pretrained: Pretrained = "none", frozen_level: int = -1) -> TimeSformer:
        no_images("none", frozen_level)
        network = TimeSformer(self, len(actions))
        if pretrained != "none":
            network.start_from_images(pretrained)
        return network


class TimeSformer(nn.Module):
    """A vision transformer with divided attention over space and time."""

    def __init__(self, architecture: TimeSformerArchitecture, num_actions: int) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.normalise = Normalise(a.colours, a.input)
        side = a.input_px // a.patch_px
        self.patch_embed = nn.Conv2d(CHANNELS[a.input], a.width, a.patch_px, a.patch_px)
        self.cls_token = nn.Parameter(torch.randn(1, 1, a.width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, side**2 + 1, a.width) * 0.02)
        self.time_embed = nn.Parameter(torch.zeros(1, a.frames, a.width))
        self.blocks = nn.ModuleList(
            _Block(a.width, a.heads, rate) for rate in torch.linspace(0, a.drop_path, a.depth, device="cpu").tolist()
        )
        self.norm = nn.LayerNorm(a.width, 1e-6)
        self.dropout = nn.Dropout(a.dropout)
        self.classifier = nn.Linear(a.width, num_actions)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, A) logits of (B, T, 3, H, W) RGB in [0, 1]."""
        frames = self.normalise(clips).transpose(1, 2)
        maps = self.patch_embed(frames.flatten(0, 1))
        patches = maps.flatten(2).transpose(1, 2) + self._places(*maps.shape[2:])
        patches = patches.view(*frames.shape[:2], *patches.shape[1:]) + times(self.time_embed, frames.shape[1])[:, :, None]
        tokens = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(clips), -1, -1), patches.flatten(1, 2)], 1)
        for block in self.blocks:
            tokens = block(tokens, frames.shape[1])
        logits: Tensor = self.classifier(self.dropout(self.norm(tokens[:, 0])))
        return logits

    def start_from_images(self, pretrained: Pretrained) -> None:
        """Take the weights of a vision transformer of timm, `imagenet`, or those of a file in its names.

        Raises:
            InputError: the file is missing, or its tensors do not fit.
        """
        if pretrained != "imagenet" and not Path(pretrained).is_file():
            raise InputError(f"pretrained: {pretrained} not found; expected none, imagenet or a safetensors file")
        given = timm.create_model(IMAGES, pretrained=True).state_dict() if pretrained == "imagenet" else read_tensors(Path(pretrained))
        renamed = {rewrite(name, _FROM_IMAGES): value for name, value in given.items() if not name.startswith("head.")}
        renamed |= {name.replace(".space.", ".time."): value for name, value in renamed.items() if ".space." in name}
        own = {
            name: value for name, value in self.state_dict().items() if name.startswith(("time_embed", "classifier")) or ".time_fc." in name
        }
        fill(self, renamed | own, IMAGES, Path(pretrained))

    def _places(self, height: int, width: int) -> Tensor:
        """(1, P, C) embeddings of the places of a frame."""
        places = self.pos_embed[:, 1:]
        side = self.architecture.input_px // self.architecture.patch_px
        if (height, width) == (side, side):
            return places
        grid = places.transpose(1, 2).reshape(1, -1, side, side)
        return F.interpolate(grid, (height, width), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)


class _Attention(nn.Module):
    """Self-attention of tokens (B, N, C), which are normed first."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, 1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.qkv(self.norm(tokens)).view(*tokens.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen: Tensor = self.proj(F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))
        return seen


class _Block(nn.Module):
    """Attention along time, which starts as nothing; attention within each frame; a perceptron."""

    def __init__(self, dim: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.time, self.space = _Attention(dim, heads), _Attention(dim, heads)
        self.time_fc = nn.Linear(dim, dim)
        nn.init.zeros_(self.time_fc.weight)
        nn.init.zeros_(self.time_fc.bias)
        self.norm = nn.LayerNorm(dim, 1e-6)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, num_frames: int) -> Tensor:
        """(B, 1 + T * P, C) of the same: the clip's own token, and P patches of each of T frames."""
        whole, patches = tokens[:, :1], tokens[:, 1:].reshape(len(tokens), num_frames, -1, tokens.shape[-1])
        places = patches.transpose(1, 2)
        along = self.time_fc(self.drop_path(self.time(places.flatten(0, 1))))
        patches = patches + along.view_as(places).transpose(1, 2)
        frames = torch.cat([whole[:, None].expand(-1, num_frames, -1, -1), patches], 2)
        within = self.drop_path(self.space(frames.flatten(0, 1))).view_as(frames)
        # The clip's token looked at each frame: it takes the mean.
        whole, patches = whole + within[:, :, 0].mean(1, keepdim=True), patches + within[:, :, 1:]
        tokens = torch.cat([whole, patches.flatten(1, 2)], 1)
        found: Tensor = tokens + self.drop_path(self.fc2(F.gelu(self.fc1(self.norm(tokens)))))
        return found

"""The part-state network of the Hikvision report (Kinetics-TPS 2021, section 2.3).

A person crop goes through a backbone. Each part's feature is RoI-pooled from a middle level and joined with the last
level's feature of the whole person; parts attend to each other; the action's distribution is embedded and added.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision.ops import roi_align

from parsing.backbones import Backbone, Pretrained
from parsing.configs import config


@config
class PartStateArchitecture:
    """What the network is made of; travels in the header of its weights.

    Args:
        part_level, person_level: feature levels of the backbone for RoI pooling and for the person.
        input_px: side of the square person crop; `context` is its window over the longer side of the person's box.
        dim: width of the part tokens; `heads` and `depth` belong to the attention across parts.
        action_drop: how often training hides the action, so that the network also works without one.
    """

    backbone: str
    part_level: int = 2
    person_level: int = 4
    input_px: int = 224
    context: float = 1.15
    dim: int = 256
    heads: Annotated[int, Field(ge=1)] = 8
    depth: Annotated[int, Field(ge=0)] = 1
    dropout: float = 0.1
    action_drop: float = 0.3


class PartStateNet(nn.Module):
    """Logits of S states for each of P parts of a person.

    Args:
        allowed: (P, S) bool; logits of other pairs are minus infinity.
        num_actions: A, the length of the action distribution; 0 for a network without actions.
    """

    def __init__(self, architecture: PartStateArchitecture, allowed: Tensor, num_actions: int, pretrained: Pretrained = "none") -> None:
        super().__init__()
        a = self.architecture = architecture
        self.num_actions = num_actions
        num_parts, num_states = allowed.shape
        self.backbone = Backbone(a.backbone, (a.part_level, a.person_level), pretrained)
        part_channels, person_channels = self.backbone.channels
        self.part_projection = nn.Linear(part_channels * 9, a.dim)
        self.person_projection = nn.Linear(person_channels, a.dim)
        self.join = nn.Linear(2 * a.dim, a.dim)
        self.box_embedding = nn.Linear(4, a.dim)
        self.part_embedding = nn.Parameter(torch.randn(num_parts, a.dim) * 0.02)
        self.missing = nn.Parameter(torch.zeros(a.dim))
        self.action_embedding = nn.Linear(num_actions, a.dim, bias=False) if num_actions else None
        self.unknown_action = nn.Parameter(torch.zeros(a.dim))
        self.attention = nn.ModuleList(
            nn.TransformerEncoderLayer(a.dim, a.heads, 2 * a.dim, a.dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(a.depth)
        )
        self.norm = nn.LayerNorm(a.dim)
        self.dropout = nn.Dropout(a.dropout)
        # One classifier per part: what "bend" looks like differs between an arm and a leg.
        self.weight = nn.Parameter(torch.randn(num_parts, a.dim, num_states) * a.dim**-0.5)
        self.bias = nn.Parameter(torch.full((num_parts, num_states), -1.0))
        self.register_buffer("allowed", allowed, persistent=False)
        self.allowed: Tensor

    def forward(
        self, crops: Tensor, boxes: Tensor, visible: Tensor, actions: Tensor | None = None, action_known: Tensor | None = None
    ) -> Tensor:
        """Logits (B, P, S).

        Args:
            crops: (B, 3, H, W) RGB in [0, 1].
            boxes: (B, P, 4) xyxy in pixels of the crop.
            visible: (B, P) bool; the box of a part that is not visible is not looked at.
            actions: (B, A) distributions; None where no action is known.
            action_known: (B,) bool: which rows of `actions` count; None counts all.
        """
        part_level, person_level = self.backbone(crops)
        person = self.person_projection(person_level.float().mean((2, 3)))
        parts = self._part_features(part_level.float(), boxes, visible)
        tokens = self.join(torch.cat([parts, person[:, None].expand_as(parts)], -1))
        side = crops.shape[-1]
        tokens = tokens + self.box_embedding(boxes / side - 0.5) * visible[..., None] + self.part_embedding
        # The person and the action are tokens of their own, always visible: no row of the attention is ever empty.
        context = torch.stack([person, self._action_token(actions, action_known, len(crops))], 1)
        tokens = torch.cat([context, self.dropout(tokens)], 1)
        hidden = torch.cat([visible.new_zeros(len(crops), 2), ~visible], 1)
        for block in self.attention:
            tokens = block(tokens, src_key_padding_mask=hidden)
        tokens = self.norm(tokens[:, 2:])
        logits: Tensor = torch.einsum("bpd,pds->bps", tokens, self.weight) + self.bias
        return logits.float().masked_fill(~self.allowed, -torch.inf)

    def _part_features(self, level: Tensor, boxes: Tensor, visible: Tensor) -> Tensor:
        num_crops, num_parts = visible.shape
        index = torch.arange(num_crops, device=boxes.device, dtype=boxes.dtype).repeat_interleave(num_parts)
        rois = torch.cat([index[:, None], boxes.reshape(-1, 4)], 1)
        pooled = roi_align(level, rois, 3, 1 / self.backbone.strides[0], sampling_ratio=2, aligned=True)
        features: Tensor = self.part_projection(pooled.flatten(1)).view(num_crops, num_parts, -1)
        return torch.where(visible[..., None], features, self.missing.to(features.dtype))

    def _action_token(self, actions: Tensor | None, known: Tensor | None, num_crops: int) -> Tensor:
        unknown = self.unknown_action.expand(num_crops, -1)
        if actions is None or self.action_embedding is None:
            return unknown
        known = torch.ones(num_crops, dtype=torch.bool, device=actions.device) if known is None else known
        if self.training:
            known = known & (torch.rand(num_crops, device=actions.device) >= self.architecture.action_drop)
        return torch.where(known[:, None], self.action_embedding(actions), unknown)

"""The part-state network of the Hikvision report (Kinetics-TPS 2021, section 2.3).

A person crop goes through a backbone. Each part's feature is RoI-pooled from a middle level and joined with the last
level's feature of the whole person; the action is embedded and added; parts attend to each other. Each of the four
rows of the report's Table 3 can be turned off: augmentation (the trainer's), `action: none`, `roi_pooling: false`
(parts are then crops of their own) and `depth: 0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from parsing.configs import Share, config
from parsing.networks.backbones import Backbone, Pretrained, shares
from parsing.networks.initial import NamedRows, Rows
from parsing.networks.pieces import Piece, pixels
from parsing.states.decoding import StateDecoder, unknown_mass

ROI_BINS = 3
Head = Literal["sigmoid", "softmax"]
Level = Annotated[int, Field(ge=0, le=8)]


@config
class PartStateArchitecture:
    """What the network is made of; travels in the header of its weights.

    Args:
        part_level, person_level: feature levels of the backbone for RoI pooling and for the person.
        pyramid_channels: of a feature pyramid from the person's level down to the parts', which gives these what the deeper
            levels have seen; 0 pools the backbone's own features.
        input_px: side of the square person crop; `context` is its window over the longer side of the person's box.
        dim: width of the part tokens; `heads` and `depth` belong to the attention across parts, which depth 0 leaves out.
        roi_pooling: False cuts a crop of `part_crop_px` for every part and sends it through the backbone too.
        head: one state a part (softmax) or several at once (sigmoid).
        action: what the network gets to know of the action: nothing, the embedding of the top class (report), or of the
            whole distribution, in which a wrong top class weighs less.
        action_drop: how often training hides the action, so that the network also works without one.
    """

    backbone: str
    part_level: Level = 2
    person_level: Level = 4
    input_px: Annotated[int, Field(ge=16, le=1024)] = 224
    context: Annotated[float, Field(gt=0, le=10)] = 1.15
    dim: Annotated[int, Field(ge=1, le=1024)] = 256
    heads: Annotated[int, Field(ge=1, le=64)] = 8
    depth: Annotated[int, Field(ge=0, le=24)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    pyramid_channels: Annotated[int, Field(ge=0, le=1024)] = 0
    roi_pooling: bool = True
    part_crop_px: Annotated[int, Field(ge=16, le=512)] = 64
    head: Head = "sigmoid"
    action: Literal["none", "top", "distribution"] = "distribution"
    action_drop: Share = 0.3

    def __post_init__(self) -> None:
        if self.depth and self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        if self.part_level >= self.person_level:
            raise ValueError(f"part_level {self.part_level}, expected one below person_level {self.person_level}")
        if self.pyramid_channels and not self.roi_pooling:
            raise ValueError(f"pyramid_channels {self.pyramid_channels} without roi_pooling, expected 0")


class Pyramid(nn.Module):
    """The finest level of a feature pyramid (Lin et al., CVPR 2017) over levels of some channels, finest first."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in in_channels)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, C, H, W) of the size of the first level."""
        *finer, top = (lateral(level) for lateral, level in zip(self.laterals, levels, strict=True))
        for level in reversed(finer):
            top = level + F.interpolate(top, size=level.shape[-2:], mode="nearest")
        found: Tensor = self.smooth(top)
        return found


class PartStateNet(nn.Module):
    """Logits of S states for each of P parts of a person.

    Args:
        allowed: (P, S) bool; logits of other pairs are minus infinity.
        num_actions: A, the length of the action distribution; 0 for a network without actions.
    """

    named_rows: ClassVar[NamedRows] = {
        "part_embedding": (Rows("parts"),),
        "weight": (Rows("parts"), Rows("states", 2)),
        "bias": (Rows("parts"), Rows("states", 1)),
        r"action_embedding\.weight": (Rows("actions", 1),),
        r"decoder\..*": None,
    }

    def __init__(self, architecture: PartStateArchitecture, allowed: Tensor, num_actions: int, pretrained: Pretrained = "none") -> None:
        super().__init__()
        a = self.architecture = architecture
        self.num_actions = num_actions
        num_parts, num_states = allowed.shape
        levels = tuple(range(a.part_level, a.person_level + 1)) if a.pyramid_channels else (a.part_level, a.person_level)
        self.backbone = Backbone(a.backbone, levels, pretrained)
        self.pyramid = Pyramid(self.backbone.channels, a.pyramid_channels) if a.pyramid_channels else None
        part_channels, person_channels = a.pyramid_channels or self.backbone.channels[0], self.backbone.channels[-1]
        self.part_projection = nn.Linear(part_channels * ROI_BINS**2 if a.roi_pooling else person_channels, a.dim)
        self.person_projection = nn.Linear(person_channels, a.dim)
        self.join = nn.Linear(2 * a.dim, a.dim)
        self.box_embedding = nn.Linear(4, a.dim)
        self.part_embedding = nn.Parameter(torch.randn(num_parts, a.dim) * 0.02)
        self.missing = nn.Parameter(torch.zeros(a.dim))
        self.action_embedding = nn.Linear(num_actions, a.dim, bias=False) if num_actions and a.action != "none" else None
        self.unknown_action = nn.Parameter(torch.zeros(a.dim)) if self.action_embedding is not None else None
        self.attention = nn.ModuleList(
            nn.TransformerEncoderLayer(a.dim, a.heads, 2 * a.dim, a.dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(a.depth)
        )
        self.norm = nn.LayerNorm(a.dim)
        self.dropout = nn.Dropout(a.dropout)
        # One classifier per part: what "bend" looks like differs between an arm and a leg.
        self.weight = nn.Parameter(torch.randn(num_parts, a.dim, num_states) * a.dim**-0.5)
        self.bias = nn.Parameter(torch.full((num_parts, num_states), -1.0 if a.head == "sigmoid" else 0.0))
        self.decoder = StateDecoder(num_parts, num_actions, num_states)
        self.register_buffer("allowed", allowed, persistent=False)
        self.allowed: Tensor

    def forward(
        self, crops: Tensor, boxes: Tensor, visible: Tensor, actions: Tensor | None = None, action_known: Tensor | None = None
    ) -> Tensor:
        """Logits (B, P, S).

        Args:
            crops: (B, 3, H, W) RGB, uint8 or in [0, 1].
            boxes: (B, P, 4) xyxy in pixels of the crop.
            visible: (B, P) bool; the box of a part that is not visible is not looked at.
            actions: (B, A) distributions; what a row lacks to one belongs to actions that are not known here. None where
                no action is known.
            action_known: (B,) bool: which rows of `actions` count; None counts all.
        """
        level, person = self.look(crops)
        pooled = self._pooled(level.float(), boxes) if self.architecture.roi_pooling else self._cropped(crops, boxes)
        action = self._action_token(actions, action_known, person)
        return self.tell(pooled, person, boxes / crops.shape[-1] - 0.5, visible, action)

    def look(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The features (B, C, h, w) that parts are pooled from, and those of the persons (B, C)."""
        levels = self.backbone(crops)
        return levels[0] if self.pyramid is None else self.pyramid(levels), levels[-1].float().mean((2, 3))

    def tell(self, pooled: Tensor, person: Tensor, places: Tensor, visible: Tensor, action: Tensor) -> Tensor:
        """Logits (B, P, S) of what was looked at.

        Args:
            pooled: (B, P, C) of the parts.
            person: (B, C).
            places: (B, P, 4) xyxy of the part boxes as shares of the crop's side, from its middle.
            visible: (B, P) bool.
            action: (B, 1, D), added to every part.
        """
        person = self.person_projection(person)
        parts = torch.where(visible[..., None], self.part_projection(pooled).float(), self.missing)
        tokens = self.join(torch.cat([parts, person[:, None].expand_as(parts)], -1))
        tokens = tokens + self.box_embedding(places) * visible[..., None] + self.part_embedding + action
        # The person is a token of its own, always visible: no row of the attention is ever empty.
        tokens = torch.cat([person[:, None], self.dropout(tokens)], 1)
        hidden = torch.cat([torch.zeros_like(visible[:, :1]), ~visible], 1)
        for block in self.attention:
            tokens = block(tokens, src_key_padding_mask=hidden)
        tokens = self.norm(tokens[:, 1:])
        logits: Tensor = torch.einsum("bpd,pds->bps", tokens, self.weight) + self.bias
        return logits.float().masked_fill(~self.allowed, -torch.inf)

    def pieces(self) -> tuple[Piece, Piece]:
        """What looks at the crops, which without pooling also sees the parts' own, of another size; and what tells the states."""
        a = self.architecture
        sides = (a.input_px, a.input_px if a.roi_pooling else a.part_crop_px)
        one, other = ((batch, 3, side, side) for batch, side in zip((1, 2), sides, strict=True))
        look = Piece("look", pixels(one, other), one_by_one=a.roi_pooling)
        return look, Piece("tell", (self._told(2), self._told(3)))

    def _told(self, batch: int) -> tuple[Tensor, ...]:
        """An example of what `tell` takes, the same each time."""
        random, parts, width = torch.Generator().manual_seed(0), len(self.part_embedding), self.architecture.dim
        shapes = (parts, self.part_projection.in_features), (self.person_projection.in_features,), (parts, 4), (parts,), (1, width)
        pooled, person, places, visible, action = (torch.rand((batch, *shape), generator=random) for shape in shapes)
        return pooled, person, places - 0.5, visible > 0.3, action

    def scores(self, logits: Tensor) -> Tensor:
        """(B, P, S) probabilities of the network alone, by the kind of its head."""
        return state_scores(logits, self.architecture.head)

    def _pooled(self, level: Tensor, boxes: Tensor) -> Tensor:
        """(B, P, C) RoI-pooled features of the part boxes."""
        rois = _rois(boxes)
        pooled: Tensor = roi_align(level, rois, ROI_BINS, 1 / self.backbone.strides[0], sampling_ratio=2, aligned=True)
        return pooled.flatten(1).view(*boxes.shape[:2], -1)

    def _cropped(self, crops: Tensor, boxes: Tensor) -> Tensor:
        """(B, P, C) features of crops of their own, one for each part."""
        small = roi_align(shares(crops), _rois(boxes), self.architecture.part_crop_px, 1.0, sampling_ratio=2, aligned=True)
        return self.look(small)[1].view(*boxes.shape[:2], -1)

    def _action_token(self, actions: Tensor | None, known: Tensor | None, person: Tensor) -> Tensor:
        """(B, 1, D) to be added to every part of the persons (B, C)."""
        count = len(person)
        if self.action_embedding is None or self.unknown_action is None:
            return person.new_zeros(count, 1, self.architecture.dim)
        unknown = self.unknown_action.expand(count, 1, -1)
        if actions is None:
            return unknown
        known = torch.ones(count, dtype=torch.bool, device=actions.device) if known is None else known
        if self.training:
            known = known & (torch.rand(count, device=actions.device) >= self.architecture.action_drop)
        rest = unknown_mass(actions)
        if self.architecture.action == "top":
            best = F.one_hot(actions.argmax(1), self.num_actions).float()
            rest = (rest > actions.amax(1, keepdim=True)).float()
            actions = best * (1 - rest)
        given = self.action_embedding(actions)[:, None] + rest[:, :, None] * unknown
        return torch.where(known[:, None, None], given, unknown)


def state_scores(logits: Tensor, head: Head) -> Tensor:
    """Probabilities of (…, S) logits; a part that can take no state scores 0 in all."""
    return logits.softmax(-1).nan_to_num(0.0) if head == "softmax" else logits.sigmoid()


def _rois(boxes: Tensor) -> Tensor:
    """(B * P, 5) crop index and box."""
    index = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype).repeat_interleave(boxes.shape[1])
    return torch.cat([index[:, None], boxes.reshape(-1, 4)], 1)

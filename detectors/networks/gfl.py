"""GFL (Li et al., Generalized Focal Loss, NeurIPS 2020) on a timm backbone.

Class scores are trained to be the IoU of the predicted box (quality focal loss), distances to the four sides are
distributions (distribution focal loss), and ATSS (Zhang et al., CVPR 2020) chooses what is positive.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from detectors.networks.anchors import Anchors, Pyramid
from detectors.networks.architectures import Candidates, GFLArchitecture, Targets
from detectors.networks.calibration import ScoreCalibration
from detectors.networks.dense import dense_candidates, images_in
from detectors.networks.targets import loss_norm, match_atss
from parsing.networks.backbones import Backbone, Pretrained
from parsing.networks.initial import NamedRows, Rows
from parsing.networks.pieces import Piece

BOX_WEIGHT, DISTRIBUTION_WEIGHT, QUALITY_BETA = 2.0, 0.25, 2.0


class GFLHead(nn.Module):
    """Two branches shared by all levels: C class logits, and 4 distributions over bins of distance.

    Distances come in strides of their level; each level scales the logits of its distributions by one learned factor.
    """

    def __init__(self, channels: int, num_classes: int, convs: int, bins: int, num_levels: int) -> None:
        super().__init__()
        self.num_classes, self.bins = num_classes, bins
        self.class_convs = nn.ModuleList(conv_norm_act(channels, channels) for _ in range(convs))
        self.box_convs = nn.ModuleList(conv_norm_act(channels, channels) for _ in range(convs))
        self.classify = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.regress = nn.Conv2d(channels, 4 * (bins + 1), 3, padding=1)
        self.scales = nn.Parameter(torch.ones(num_levels))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.constant_(self.classify.bias, focal_bias())  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits (B, H * W, C) and logits of distributions (B, H * W, 4 * (bins + 1)) of each level."""
        logits, distributions = [], []
        for feature, scale in zip(features, self.scales, strict=True):
            x = y = feature
            for conv in self.class_convs:
                x = conv(x)
            for conv in self.box_convs:
                y = conv(y)
            logits.append(by_position(self.classify(x), self.num_classes))
            distributions.append(by_position(self.regress(y).float() * scale, 4 * (self.bins + 1)))
        return logits, distributions


class GFL(nn.Module):
    """One-stage detector of C classes in padded batches of images."""

    calibration: ScoreCalibration | None = None
    named_rows: ClassVar[NamedRows] = {r"head\.classify\..*": (Rows("classes"),)}

    def __init__(self, architecture: GFLArchitecture, pretrained: Pretrained = "none", frozen_level: int = -1) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.backbone = Backbone(a.backbone, a.levels, pretrained, frozen_level=frozen_level, extra_channels=a.heatmaps)
        self.pyramid = Pyramid(self.backbone.channels, self.backbone.strides, a.fpn_channels, "on_output")
        strides = self.pyramid.strides
        self.anchors = Anchors(tuple((a.anchor_scale * stride,) for stride in strides), (1.0,), strides)
        self.head = GFLHead(a.fpn_channels, len(a.class_names), a.convs, a.bins, len(strides))
        self.register_buffer("bins", torch.arange(a.bins + 1, dtype=torch.float32), persistent=False)
        self.bins: Tensor

    def forward(self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets]) -> dict[str, Tensor]:
        """Losses of a batch, as `CascadeRCNN.forward`."""
        del sizes  # positions in the padding are background, as published
        features = self.pyramid(self.backbone(images))
        levels = self.anchors.of_levels(features, images)
        logits, spreads = (torch.cat(maps, 1) for maps in self.head(features))
        matched = [match_atss(levels, target, self.architecture.nearest) for target in targets]
        label = torch.stack([row for row, _ in matched])  # (B, N)
        positive = label > 0
        truth = torch.cat([t.boxes[index[row > 0]] for t, (row, index) in zip(targets, matched, strict=True)])
        centres, strides = self._positions(levels)
        place = torch.nonzero(positive)[:, 1]
        centres, strides = centres[place], strides[place]
        found = self._decode(spreads[positive], centres, strides)
        wanted = torch.zeros_like(logits)
        wanted[(*torch.nonzero(positive).unbind(1), label[positive] - 1)] = pairwise_iou(found.detach(), truth)
        weight = logits[positive].detach().sigmoid().amax(1)
        norm = loss_norm(weight.sum())
        num_positive = loss_norm(weight.new_tensor(len(truth)))
        sides = distances(truth, centres, strides).clamp(0, self.architecture.bins - 0.01)
        return {
            "quality": quality_focal_loss(logits[label >= 0], wanted[label >= 0]) / num_positive,
            "box": BOX_WEIGHT * (generalized_box_iou_loss(found, truth) * weight).sum() / norm,
            "distribution": DISTRIBUTION_WEIGHT * (self._distribution_loss(spreads[positive], sides) * weight).sum() / norm,
        }

    @torch.no_grad()
    def candidates(self, images: Tensor, sizes: list[tuple[int, int]]) -> Candidates:
        """Boxes (R, 4) px of each image and their class scores (R, C), before any suppression."""
        found = self.dense(images)
        logits, spreads, shapes = (list(found[i::3]) for i in range(3))
        levels = self.anchors.of_levels(shapes, images)
        boxes = [
            self._decode(spread.flatten(0, 1), *(v.repeat(len(images), 1) for v in self._positions([level], [stride]))).view(
                len(images), -1, 4
            )
            for spread, level, stride in zip(spreads, levels, self.pyramid.strides, strict=True)
        ]
        return dense_candidates(boxes, [level.sigmoid() for level in logits], self.architecture.candidates, sizes)

    def dense(self, images: Tensor) -> tuple[Tensor, ...]:
        """Of each level the logits, the logits of distributions, and one channel, which tells its size."""
        features = self.pyramid(self.backbone(images))
        maps = zip(*self.head(features), (level[:, :1] for level in features), strict=True)
        return tuple(map_ for level in maps for map_ in level)

    def pieces(self) -> tuple[Piece, ...]:
        return (images_in("dense", 3 + self.architecture.heatmaps),)

    def _positions(self, levels: list[Tensor], strides: list[int] | None = None) -> tuple[Tensor, Tensor]:
        """Centres (N, 2) px of all anchors and the stride (N, 1) of each."""
        strides = strides or self.pyramid.strides
        centres = torch.cat([(level[:, :2] + level[:, 2:]) / 2 for level in levels])
        return centres, torch.cat([level.new_full((len(level), 1), stride) for level, stride in zip(levels, strides, strict=True)])

    def _decode(self, spreads: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
        """Boxes (N, 4) px whose sides lie at the means of the distributions."""
        sides = (spreads.view(-1, 4, len(self.bins)).softmax(-1) @ self.bins) * strides
        return torch.cat([centres - sides[:, :2], centres + sides[:, 2:]], 1)

    def _distribution_loss(self, spreads: Tensor, sides: Tensor) -> Tensor:
        """(N,) cross entropy with the two bins around each true distance, mean over the four sides."""
        flat, low = spreads.view(-1, len(self.bins)), sides.flatten().floor().long()
        share = sides.flatten() - low
        loss = F.cross_entropy(flat, low, reduction="none") * (1 - share) + F.cross_entropy(flat, low + 1, reduction="none") * share
        return loss.view(-1, 4).mean(1)


def distances(boxes: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """(N, 4) from centres to the left, top, right and bottom side of boxes, in strides."""
    return torch.cat([centres - boxes[:, :2], boxes[:, 2:] - centres], 1) / strides


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """(N,) IoU of boxes with the boxes of the same row."""
    shared = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0).prod(1)
    union = (first[:, 2:] - first[:, :2]).prod(1) + (second[:, 2:] - second[:, :2]).prod(1) - shared
    return shared / union.clamp(min=1e-6)


def quality_focal_loss(logits: Tensor, quality: Tensor) -> Tensor:
    """Sum of cross entropies with soft labels, weighted by the squared distance to them (equation 5 of the paper)."""
    entropy = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return (entropy * (quality - logits.sigmoid()).abs() ** QUALITY_BETA).sum()


def conv_norm_act(in_channels: int, channels: int) -> nn.Sequential:
    """3x3 convolution, group norm of 32 groups (fewer for thin layers), ReLU."""
    groups = next(g for g in (32, 16, 8, 4, 2, 1) if channels % g == 0)
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), norm=nn.GroupNorm(groups, channels), act=nn.ReLU())
    )


def by_position(maps: Tensor, values: int) -> Tensor:
    """(B, A * V, H, W) maps as (B, H * W * A, V) float32, in the order of `Anchors.of_levels`."""
    batch, _, height, width = maps.shape
    return maps.view(batch, -1, values, height, width).permute(0, 3, 4, 1, 2).reshape(batch, -1, values).float()


def focal_bias(prior: float = 0.01) -> float:
    """Bias that makes a sigmoid start at `prior` (Lin et al., Focal Loss)."""
    return float(-torch.log(torch.tensor((1 - prior) / prior)))

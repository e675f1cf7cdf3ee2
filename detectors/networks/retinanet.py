"""RetinaNet (Lin et al., Focal Loss for Dense Object Detection, ICCV 2017): torchvision's head on a timm backbone."""

from __future__ import annotations

import functools
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import sigmoid_focal_loss

from detectors.networks.anchors import Anchors, Pyramid
from detectors.networks.architectures import Candidates, RetinaNetArchitecture, Targets
from detectors.networks.calibration import ScoreCalibration
from detectors.networks.dense import dense_candidates, images_in
from detectors.networks.targets import loss_norm, match_anchors
from parsing.networks.backbones import Backbone, Pretrained
from parsing.networks.initial import NamedRows, Rows
from parsing.networks.pieces import Piece

FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.4
OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


class RetinaNet(nn.Module):
    """One-stage detector of C classes in padded batches of images."""

    calibration: ScoreCalibration | None = None
    named_rows: ClassVar[NamedRows] = {r"head\.classification_head\.cls_logits\..*": (Rows("classes"),)}

    def __init__(self, architecture: RetinaNetArchitecture, pretrained: Pretrained = "none", frozen_level: int = -1) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.backbone = Backbone(a.backbone, a.levels, pretrained, frozen_level=frozen_level, extra_channels=a.heatmaps)
        self.pyramid = Pyramid(self.backbone.channels, self.backbone.strides, a.fpn_channels, a.coarse)
        sizes = tuple(tuple(a.anchor_scale * stride * octave for octave in OCTAVES) for stride in self.pyramid.strides)
        if a.rounded_anchors:
            sizes = tuple(tuple(float(int(side)) for side in level) for level in sizes)
        self.anchors = Anchors(sizes, a.anchor_ratios, self.pyramid.strides, a.rounded_anchors)
        norm = functools.partial(nn.GroupNorm, 32) if a.head_norm == "group" else None
        self.head = RetinaNetHead(a.fpn_channels, self.anchors.per_position, len(a.class_names), norm_layer=norm)
        for branch in (self.head.classification_head, self.head.regression_head):
            branch.conv = branch.conv[: a.convs]
        self.coder = BoxCoder((1.0, 1.0, 1.0, 1.0))

    def forward(self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets]) -> dict[str, Tensor]:
        """Losses of a batch, as `CascadeRCNN.forward`."""
        del sizes  # anchors in the padding are background, as published
        features = self.pyramid(self.backbone(images))
        anchors = torch.cat(self.anchors.of_levels(features, images))
        logits, deltas = self._head(features)
        class_losses, box_losses, num_positive = [], [], 0
        for logit, delta, target in zip(logits, deltas, targets, strict=True):
            label, index = match_anchors(anchors, target, FOREGROUND_IOU, BACKGROUND_IOU)
            counted, positive = label >= 0, label > 0
            wanted = F.one_hot(label.clamp(min=0), logit.shape[1] + 1)[:, 1:].to(logit)
            class_losses.append(sigmoid_focal_loss(logit[counted], wanted[counted], reduction="sum"))
            truth = target.boxes[index[positive]]
            encoded = self.coder.encode_single(truth, anchors[positive]) if len(truth) else truth
            box_losses.append(F.l1_loss(delta[positive], encoded, reduction="sum"))
            num_positive += int(positive.sum())
        norm = loss_norm(anchors.new_tensor(num_positive))
        return {"class": torch.stack(class_losses).sum() / norm, "box": torch.stack(box_losses).sum() / norm}

    @torch.no_grad()
    def candidates(self, images: Tensor, sizes: list[tuple[int, int]]) -> Candidates:
        """Boxes (R, 4) px of each image and their class scores (R, C), before any suppression."""
        logits, deltas, *sizes_of_levels = self.dense(images)
        levels = self.anchors.of_levels(sizes_of_levels, images)
        counts = [len(level) for level in levels]
        boxes = [
            torch.stack([self.coder.decode_single(d, anchors) for d in delta])
            for delta, anchors in zip(torch.split(deltas, counts, 1), levels, strict=True)
        ]
        return dense_candidates(boxes, list(torch.split(logits.sigmoid(), counts, 1)), self.architecture.candidates, sizes)

    def dense(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, N, C) and deltas (B, N, 4) of all anchors, and one channel of each level, which tells its size."""
        features = self.pyramid(self.backbone(images))
        return (*self._head(features), *(level[:, :1] for level in features))

    def pieces(self) -> tuple[Piece, ...]:
        return (images_in("dense", 3 + self.architecture.heatmaps),)

    def _head(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        found = self.head(features)
        return found["cls_logits"].float(), found["bbox_regression"].float()

"""Faster R-CNN with a feature pyramid (Ren et al., NeurIPS 2015; Lin et al., CVPR 2017), laid out as torchvision's own.

Its weights of Mask R-CNN and Keypoint R-CNN are the same network with another head beside it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.ops import clip_boxes_to_image

from detectors.networks.anchors import Anchors, Pyramid
from detectors.networks.architectures import Candidates, FasterRCNNArchitecture, Targets
from detectors.networks.calibration import ScoreCalibration
from detectors.networks.dense import MIN_SCORE, images_in
from detectors.networks.pooling import BINS, RegionPooling, regions_in
from detectors.networks.rpn import ProposalNetwork
from detectors.networks.targets import match, sample_balanced
from parsing.networks.backbones import Backbone, Pretrained
from parsing.networks.initial import NamedRows, Rows
from parsing.networks.pieces import Piece

FOREGROUND_IOU = 0.5
ROI_SAMPLES = 2  # points per bin and axis of RoIAlign, as published


class FasterRCNN(nn.Module):
    """Detector of C classes in padded batches of images; each class has a box of its own."""

    calibration: ScoreCalibration | None = None
    named_rows: ClassVar[NamedRows] = {
        r"box_predictor\.cls_score\..*": (Rows("classes", before=1),),
        r"box_predictor\.bbox_pred\..*": (Rows("classes", before=4, each=4),),
    }

    def __init__(self, architecture: FasterRCNNArchitecture, pretrained: Pretrained = "none", frozen_level: int = -1) -> None:
        super().__init__()
        a = self.architecture = architecture
        second = a.version == 2
        self.backbone = Backbone(a.backbone, a.levels, pretrained, frozen_level=frozen_level, extra_channels=a.heatmaps)
        norm = nn.BatchNorm2d if second else None
        self.pyramid = Pyramid(self.backbone.channels, self.backbone.strides, a.fpn_channels, "pool", norm)
        anchors = Anchors(a.anchor_sizes, a.anchor_ratios, self.pyramid.strides, rounded=True)
        self.rpn = ProposalNetwork(anchors, a.fpn_channels, a.proposals, convs=a.version, least_objectness=a.least_objectness)
        shape = (a.fpn_channels, BINS, BINS)
        convolved = FastRCNNConvFCHead(shape, [a.fpn_channels] * 4, [a.hidden], nn.BatchNorm2d) if second else None
        self.box_head = convolved or TwoMLPHead(a.fpn_channels * BINS**2, a.hidden)
        self.box_predictor = FastRCNNPredictor(a.hidden, len(a.class_names) + 1)
        self.coder = BoxCoder((10.0, 10.0, 5.0, 5.0))

    def forward(self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets]) -> dict[str, Tensor]:
        """Losses of a batch, as `CascadeRCNN.forward`."""
        features = self.pyramid(self.backbone(images))
        proposals, losses = self.rpn.propose(images, sizes, features, targets)
        sampled, labels, matched = [], [], []
        for boxes, target in zip(proposals, targets, strict=True):
            candidates = torch.cat([boxes, target.boxes])
            label, index = match(candidates, target.boxes, target.labels, target.ignored, FOREGROUND_IOU)
            chosen = sample_balanced(label, self.architecture.rois, positive_fraction=0.25)
            sampled.append(candidates[chosen])
            labels.append(label[chosen])
            matched.append(target.boxes[index[chosen]] if len(target.boxes) else candidates[chosen])
        logits, deltas = self.judge(self._pooling(features[:-1])(sampled))
        label = torch.cat(labels)
        positive, norm = label > 0, max(1, len(label))
        wanted = torch.cat(self.coder.encode(matched, sampled))[positive]
        own = deltas.reshape(*logits.shape, 4)[positive, label[positive]]
        return losses | {
            "class": F.cross_entropy(logits, label, reduction="sum") / norm,
            "box": F.smooth_l1_loss(own, wanted, beta=1 / 9, reduction="sum") / norm,
        }

    @torch.no_grad()
    def candidates(self, images: Tensor, sizes: list[tuple[int, int]]) -> Candidates:
        """Boxes (R, 4) px of each image, each with the score of its own class in (R, C), before any suppression."""
        levels, proposals = self.rpn.find(self.dense(images), images, sizes)
        logits, deltas = self.judge(self._pooling(levels)(proposals))
        counts = [len(boxes) for boxes in proposals]
        scores = torch.split(logits.softmax(-1)[:, 1:], counts)
        boxes = torch.split(self.coder.decode(deltas, proposals).reshape(*logits.shape, 4)[:, 1:], counts)
        return [_apart(clip_boxes_to_image(box, size), score) for box, score, size in zip(boxes, scores, sizes, strict=True)]

    def dense(self, images: Tensor) -> tuple[Tensor, ...]:
        """What does not depend on boxes, see `ProposalNetwork.dense`."""
        return self.rpn.dense(self.pyramid(self.backbone(images)))

    def pieces(self) -> tuple[Piece, ...]:
        a = self.architecture
        return images_in("dense", 3 + a.heatmaps), regions_in("judge", a.fpn_channels)

    def _pooling(self, levels: list[Tensor]) -> RegionPooling:
        return RegionPooling(levels, self.backbone.strides, self.architecture.finest_scale_px, ROI_SAMPLES, aligned=False)

    def judge(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, C + 1) and deltas (R, 4 (C + 1)) of pooled boxes (R, D, 7, 7)."""
        logits, deltas = self.box_predictor(self.box_head(pooled))
        return logits.float(), deltas.float()


def _apart(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """(R, C, 4) boxes and (R, C) scores as a row for each pair that is worth it."""
    rows, classes = torch.nonzero(scores > MIN_SCORE, as_tuple=True)
    alone = F.one_hot(classes, scores.shape[1]) * scores[rows]
    return boxes[rows, classes], alone

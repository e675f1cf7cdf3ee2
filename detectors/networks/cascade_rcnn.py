"""Cascade R-CNN (Cai and Vasconcelos, CVPR 2018) on a timm backbone.

Three box heads refine the proposals one after the other. Each is trained on boxes that overlap ground truth by a
higher IoU (0.5, 0.6, 0.7), regresses class-agnostic deltas scaled as published; the logits of all three are averaged, as in mmdet.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou, clip_boxes_to_image

from detectors.networks.anchors import Anchors, Pyramid
from detectors.networks.architectures import Candidates, CascadeArchitecture, Targets
from detectors.networks.calibration import ScoreCalibration
from detectors.networks.dense import images_in
from detectors.networks.pooling import RegionPooling, regions_in
from detectors.networks.rpn import ProposalNetwork
from detectors.networks.targets import match, sample_balanced
from parsing.networks.backbones import Backbone, Pretrained
from parsing.networks.initial import NamedRows, Rows
from parsing.networks.pieces import Piece

STAGE_IOUS = (0.5, 0.6, 0.7)
STAGE_LOSS_WEIGHTS = (1.0, 0.5, 0.25)
# Inverse standard deviations of (x, y, w, h) deltas in the three stages.
STAGE_DELTAS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067))


class BoxHead(nn.Module):
    """Two fully connected layers over a pooled RoI, then C + 1 class logits and 4 class-agnostic deltas."""

    def __init__(self, channels: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * 49, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.classify = nn.Linear(hidden, num_classes + 1)
        self.regress = nn.Linear(hidden, 4)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.normal_(self.regress.weight, std=0.001)
        nn.init.zeros_(self.classify.bias)
        nn.init.zeros_(self.regress.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.fc2(F.relu(self.fc1(pooled.flatten(1)))))
        return self.classify(x).float(), self.regress(x).float()


class CascadeRCNN(nn.Module):
    """Detector of C classes in padded batches of images."""

    calibration: ScoreCalibration | None = None
    named_rows: ClassVar[NamedRows] = {r"heads\.\d\.classify\..*": (Rows("classes", before=1),)}

    def __init__(self, architecture: CascadeArchitecture, pretrained: Pretrained = "none", frozen_level: int = -1) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.backbone = Backbone(a.backbone, a.levels, pretrained, frozen_level=frozen_level, extra_channels=a.heatmaps)
        self.pyramid = Pyramid(self.backbone.channels, self.backbone.strides, a.fpn_channels, "pool")
        anchors = Anchors(a.anchor_sizes, a.anchor_ratios, self.pyramid.strides)
        self.rpn = ProposalNetwork(anchors, a.fpn_channels, a.proposals, least_objectness=a.least_objectness)
        self.heads = nn.ModuleList(BoxHead(a.fpn_channels, a.hidden, len(a.class_names)) for _ in STAGE_IOUS)
        self.coders = [BoxCoder(weights) for weights in STAGE_DELTAS]

    def forward(self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Targets] | None = None) -> dict[str, Tensor]:
        """Losses of a batch; `candidates` is the way at test time.

        Args:
            images: (B, 3, H, W) RGB in [0, 1] and heatmaps after it, padded at the right and bottom.
            sizes: height and width of each image inside the padding.
            targets: ground truth of each image.
        """
        if targets is None:
            raise ValueError("CascadeRCNN.forward computes losses and needs targets; call candidates for boxes")
        features = self.pyramid(self.backbone(images))
        boxes, named = self.rpn.propose(images, sizes, features, targets)
        for stage in range(len(STAGE_IOUS)):
            boxes, stage_losses = self._train_stage(stage, features, boxes, sizes, targets)
            named.update({f"{name}{stage + 1}": STAGE_LOSS_WEIGHTS[stage] * loss for name, loss in stage_losses.items()})
        return named

    @torch.no_grad()
    def candidates(self, images: Tensor, sizes: list[tuple[int, int]]) -> Candidates:
        """Refined proposals (R, 4) px of each image and their class scores (R, C), before any suppression."""
        levels, boxes = self.rpn.find(self.dense(images), images, sizes)
        counts, pool = [len(b) for b in boxes], self._pooling(levels)
        total = torch.zeros(())
        for stage, head in enumerate(self.heads):
            logits, deltas = head(pool(boxes))
            total = total.to(logits.device) + logits / len(self.heads)
            boxes = self._refine(stage, deltas, boxes, sizes)
        scores = torch.split(total.softmax(-1)[:, 1:], counts)
        return list(zip(boxes, scores, strict=True))

    def dense(self, images: Tensor) -> tuple[Tensor, ...]:
        """What does not depend on boxes, see `ProposalNetwork.dense`."""
        return self.rpn.dense(self.pyramid(self.backbone(images)))

    def pieces(self) -> tuple[Piece, ...]:
        a = self.architecture
        heads = (regions_in(f"heads.{stage}.forward", a.fpn_channels) for stage in range(len(self.heads)))
        return images_in("dense", 3 + a.heatmaps), *heads

    def _pooling(self, levels: list[Tensor]) -> RegionPooling:
        a = self.architecture
        return RegionPooling(levels, self.backbone.strides, a.finest_scale_px, a.roi_samples)

    def _refine(self, stage: int, deltas: Tensor, boxes: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        decoded = self.coders[stage].decode(deltas, boxes).reshape(-1, 4)
        per_image = torch.split(decoded, [len(b) for b in boxes])
        return [clip_boxes_to_image(b, size) for b, size in zip(per_image, sizes, strict=True)]

    def _train_stage(
        self, stage: int, features: list[Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]], targets: list[Targets]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Losses of one head on sampled boxes, and these boxes refined for the next head."""
        sampled, labels, matched = [], [], []
        for proposals, target in zip(boxes, targets, strict=True):
            candidates = torch.cat([proposals, target.boxes])
            label, index = match(candidates, target.boxes, target.labels, target.ignored, STAGE_IOUS[stage])
            chosen = sample_balanced(label, self.architecture.rois, positive_fraction=0.25)
            sampled.append(candidates[chosen])
            labels.append(label[chosen])
            matched.append(target.boxes[index[chosen]] if len(target.boxes) else candidates[chosen])
        logits, deltas = self.heads[stage](self._pooling(features[:-1])(sampled))
        label = torch.cat(labels)
        positive = label > 0
        wanted = torch.cat(self.coders[stage].encode(matched, sampled))
        losses = {
            "class": F.cross_entropy(logits, label, reduction="sum") / max(1, len(label)),
            "box": F.smooth_l1_loss(deltas[positive], wanted[positive], reduction="sum") / max(1, len(label)),
        }
        with torch.no_grad():
            refined = self._refine(stage, deltas, sampled, sizes)
            # Ground truth was added to the candidates; refined copies of it would make the next stage too easy.
            refined = [
                r[box_iou(s, t.boxes).amax(1) < 0.999] if len(t.boxes) else r for r, s, t in zip(refined, sampled, targets, strict=True)
            ]
        return refined, losses

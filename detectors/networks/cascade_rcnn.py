"""Cascade R-CNN (Cai and Vasconcelos, CVPR 2018) on a timm backbone.

Three box heads refine the proposals one after the other. Each is trained on boxes that overlap ground truth by a
higher IoU (0.5, 0.6, 0.7), regresses class-agnostic deltas scaled as published; the logits of all three are averaged, as in mmdet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou, clip_boxes_to_image

from detectors.networks.anchors import Anchors, Pyramid
from detectors.networks.architectures import Candidates, CascadeArchitecture, Targets
from detectors.networks.calibration import ScoreCalibration
from detectors.networks.pooling import align_regions
from detectors.networks.targets import box_in_region, match, sample_balanced
from parsing.networks.backbones import Backbone, Pretrained

STAGE_IOUS = (0.5, 0.6, 0.7)
STAGE_LOSS_WEIGHTS = (1.0, 0.5, 0.25)
# Inverse standard deviations of (x, y, w, h) deltas in the three stages.
STAGE_DELTAS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067))


class _FloatRPNHead(RPNHead):  # type: ignore[misc]
    """The RPN head with float32 outputs under autocast: anchors, NMS and losses need the precision."""

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objectness, deltas = super().forward(features)
        return [level.float() for level in objectness], [level.float() for level in deltas]


class _IgnoringRPN(RegionProposalNetwork):  # type: ignore[misc]
    """torchvision's RPN, which leaves anchors inside ignored regions out of its losses."""

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            label[(label == 0) & box_in_region(anchor, target["ignored"])] = -1
        return labels, boxes

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """As torchvision's, but 0 instead of NaN where everything is ignored."""
        chosen_positive, chosen_negative = (torch.nonzero(torch.cat(mask)).squeeze(1) for mask in self.fg_bg_sampler(labels))
        chosen = torch.cat([chosen_positive, chosen_negative])
        norm = max(1, len(chosen))
        box = F.smooth_l1_loss(
            pred_bbox_deltas[chosen_positive], torch.cat(regression_targets)[chosen_positive], beta=1 / 9, reduction="sum"
        )
        wanted = torch.cat(labels)[chosen].to(objectness)
        entropy = F.binary_cross_entropy_with_logits(objectness.flatten()[chosen], wanted, reduction="sum")
        return entropy / norm, box / norm


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

    def __init__(self, architecture: CascadeArchitecture, pretrained: Pretrained = "none", frozen_level: int = -1) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.backbone = Backbone(a.backbone, a.levels, pretrained, frozen_level=frozen_level, extra_channels=a.heatmaps)
        self.pyramid = Pyramid(self.backbone.channels, self.backbone.strides, a.fpn_channels, "pool")
        anchors = Anchors(a.anchor_sizes, a.anchor_ratios, self.pyramid.strides)
        self.rpn = _IgnoringRPN(
            anchors,
            _FloatRPNHead(a.fpn_channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 1000, "testing": a.proposals},
            post_nms_top_n={"training": 1000, "testing": a.proposals},
            nms_thresh=0.7,
        )
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
        as_dicts = [{"boxes": t.boxes, "labels": t.labels, "ignored": t.ignored} for t in targets]
        proposals, losses = self.rpn(ImageList(images, sizes), _named(features), as_dicts)
        named = {"rpn_objectness": losses["loss_objectness"], "rpn_box": losses["loss_rpn_box_reg"]}
        boxes = [b.detach() for b in proposals]
        for stage in range(len(STAGE_IOUS)):
            boxes, stage_losses = self._train_stage(stage, features, boxes, sizes, targets)
            named.update({f"{name}{stage + 1}": STAGE_LOSS_WEIGHTS[stage] * loss for name, loss in stage_losses.items()})
        return named

    @torch.no_grad()
    def candidates(self, images: Tensor, sizes: list[tuple[int, int]]) -> Candidates:
        """Refined proposals (R, 4) px of each image and their class scores (R, C), before any suppression."""
        features = self.pyramid(self.backbone(images))
        boxes, _ = self.rpn(ImageList(images, sizes), _named(features), None)
        counts = [len(b) for b in boxes]
        total = torch.zeros(())
        for stage, head in enumerate(self.heads):
            logits, deltas = head(self._pool(features, boxes))
            total = total.to(logits.device) + logits / len(self.heads)
            boxes = self._refine(stage, deltas, boxes, sizes)
        scores = torch.split(total.softmax(-1)[:, 1:], counts)
        return list(zip(boxes, scores, strict=True))

    def _pool(self, features: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """(sum of R, C, 7, 7): each RoI from the level that fits its size (Lin et al., FPN, equation 1)."""
        levels = features[:-1]  # the topmost serves the RPN alone
        rois = torch.cat([torch.cat([b.new_full((len(b), 1), i), b], 1) for i, b in enumerate(boxes)])
        scale = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=1).sqrt()
        chosen = torch.floor(torch.log2(scale / self.architecture.finest_scale_px + 1e-6)).clamp(0, len(levels) - 1)
        samples = self.architecture.roi_samples
        pooled = levels[0].new_zeros((len(rois), levels[0].shape[1], 7, 7), dtype=torch.float32)
        for i, (level, stride) in enumerate(zip(levels, self.backbone.strides, strict=True)):
            here = torch.nonzero(chosen == i).squeeze(1)
            cut = align_regions(level.float(), rois[here], 7, 1 / stride, samples)
            pooled = pooled.index_put((here,), cut)
        return pooled

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
        logits, deltas = self.heads[stage](self._pool(features, sampled))
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


def _named(features: list[Tensor]) -> dict[str, Tensor]:
    return {str(i): level for i, level in enumerate(features)}

"""The region proposal network (Ren et al., Faster R-CNN, NeurIPS 2015): torchvision's, which leaves ignored regions out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers

from detectors.networks.anchors import Anchors
from detectors.networks.architectures import Targets
from detectors.networks.targets import box_in_region


class _FloatHead(RPNHead):  # type: ignore[misc]
    """The RPN head with float32 outputs under autocast: anchors, NMS and losses need the precision."""

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objectness, deltas = super().forward(features)
        return [level.float() for level in objectness], [level.float() for level in deltas]


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """Proposals from the levels of a pyramid.

    Args:
        convs: convolutions of its head before the two that score anchors.
        proposals: most boxes of each image at test time.
        least_objectness: of these boxes.
    """

    def __init__(self, anchors: Anchors, channels: int, proposals: int, convs: int = 1, least_objectness: float = 0.0) -> None:
        super().__init__(
            anchors,
            _FloatHead(channels, anchors.num_anchors_per_location()[0], convs),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 1000, "testing": proposals},
            post_nms_top_n={"training": 1000, "testing": proposals},
            nms_thresh=0.7,
        )
        self.least_objectness = least_objectness

    def propose(
        self, images: Tensor, sizes: list[tuple[int, int]], features: list[Tensor], targets: list[Targets]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Boxes (R, 4) px of each image, and the named losses."""
        as_dicts = [{"boxes": t.boxes, "labels": t.labels, "ignored": t.ignored} for t in targets]
        boxes, losses = self(ImageList(images, sizes), {str(i): level for i, level in enumerate(features)}, as_dicts)
        named = {"rpn_objectness": losses["loss_objectness"], "rpn_box": losses["loss_rpn_box_reg"]}
        return [b.detach() for b in boxes], named

    def dense(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        """What `find` takes: the L levels that regions are pooled from, and of these and the coarsest objectness and deltas."""
        objectness, deltas = self.head(features)
        return (*features[:-1], *objectness, *deltas)

    def find(self, dense: Sequence[Tensor], images: Tensor, sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[Tensor]]:
        """The levels that regions are pooled from, and proposals (R, 4) px of each image, as `propose` finds them."""
        scored = (len(dense) + 1) // 3
        levels, objectness, deltas = list(dense[: scored - 1]), list(dense[scored - 1 : -scored]), list(dense[-scored:])
        anchors = self.anchor_generator(ImageList(images, sizes), objectness)
        counts = [level.shape[1:].numel() for level in objectness]
        flat, shifts = (found.view(len(sizes), sum(counts), -1) for found in concat_box_prediction_layers(objectness, deltas))
        # The best of each level are chosen before boxes are made of them: most of what the maps hold becomes no box.
        best = self._get_top_n_idx(flat[..., 0], counts)
        rows = torch.arange(len(sizes), device=best.device)[:, None]
        boxes = self.box_coder.decode(shifts[rows, best].flatten(0, 1), [every[some] for every, some in zip(anchors, best, strict=True)])
        kept = [min(count, self.pre_nms_top_n()) for count in counts]
        proposals, _ = self.filter_proposals(boxes.view(len(sizes), -1, 4), flat[rows, best], sizes, kept)
        return levels, proposals

    def filter_proposals(
        self, proposals: Tensor, objectness: Tensor, image_shapes: list[tuple[int, int]], num_anchors_per_level: list[int]
    ) -> tuple[list[Tensor], list[Tensor]]:
        self.score_thresh = 0.0 if self.training else self.least_objectness  # heads learn from what looks like nothing, too
        found: tuple[list[Tensor], list[Tensor]] = super().filter_proposals(proposals, objectness, image_shapes, num_anchors_per_level)
        return found

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

"""Which candidate box answers for which ground truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou


def box_in_region(boxes: Tensor, regions: Tensor, share: float = 0.5) -> Tensor:
    """(N,) bool: whether more than `share` of a box's own area lies in one of the (K, 4) regions."""
    if len(regions) == 0 or len(boxes) == 0:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    low = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    return (shared / areas.clamp(min=1e-6)[:, None] > share).any(1)


def match(boxes: Tensor, truth: Tensor, labels: Tensor, ignored: Tensor, min_iou: float) -> tuple[Tensor, Tensor]:
    """Assign candidates (N, 4) to ground truth (M, 4).

    Returns:
        (N,) label: that of the best ground truth where IoU >= `min_iou`, 0 for background, -1 where the box lies
        in an ignored region; and (N,) index of that ground truth (0 where there is none).
    """
    index = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    label = torch.zeros_like(index)
    if len(truth):
        iou, index = box_iou(boxes, truth).max(1)
        label = torch.where(iou >= min_iou, labels[index], label)
    label[(label == 0) & box_in_region(boxes, ignored)] = -1
    return label, index


def sample_balanced(label: Tensor, num: int, positive_fraction: float) -> Tensor:
    """Indices of at most `num` boxes: up to that fraction of positives, the rest background; ignored ones never."""
    positive, negative = torch.nonzero(label > 0).squeeze(1), torch.nonzero(label == 0).squeeze(1)
    num_positive = min(len(positive), int(num * positive_fraction))
    num_negative = min(len(negative), num - num_positive)
    chosen = [group[torch.randperm(len(group))[:n].to(group.device)] for group, n in ((positive, num_positive), (negative, num_negative))]
    return torch.cat(chosen)

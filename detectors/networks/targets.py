"""Which candidate box answers for which ground truth."""

from __future__ import annotations

import itertools

import torch
import torch.distributed
from torch import Tensor
from torchvision.ops import box_iou

from detectors.networks.architectures import Targets


def loss_norm(value: Tensor) -> Tensor:
    """What this process divides its summed loss by: the total of `value`, at least 1, shared among all training processes.

    The mean of such losses over processes equals the loss of one process that sees all images.
    """
    if not torch.distributed.is_initialized():
        return value.clamp(min=1)
    total = value.detach().clone()
    torch.distributed.all_reduce(total)
    return total.clamp(min=1) / torch.distributed.get_world_size()


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


def match_anchors(anchors: Tensor, target: Targets, foreground_iou: float, background_iou: float) -> tuple[Tensor, Tensor]:
    """Assign dense anchors (N, 4): as `match`, with a band of IoUs that is ignored and the best anchor of each box kept."""
    label, index = match(anchors, target.boxes, target.labels, target.ignored, foreground_iou)
    if len(target.boxes) == 0:
        return label, index
    iou = box_iou(target.boxes, anchors)
    label[(label == 0) & (iou.amax(0) >= background_iou)] = -1
    best = iou.amax(1, keepdim=True)
    boxes, chosen = torch.nonzero((iou == best) & (best > 0), as_tuple=True)
    index[chosen], label[chosen] = boxes, target.labels[boxes]
    return label, index


def match_atss(levels: list[Tensor], target: Targets, nearest: int) -> tuple[Tensor, Tensor]:
    """ATSS (Zhang et al., CVPR 2020): positives are, of the anchors nearest to a box's centre on each level, those inside
    of it whose IoU is at least the mean plus one deviation over all of these candidates.

    Args:
        levels: (N_l, 4) anchors of each level.
        nearest: candidates of each level.

    Returns:
        (N,) label and (N,) index as `match`; an anchor of several boxes answers for the one of highest IoU.
    """
    anchors = torch.cat(levels)
    label = torch.zeros(len(anchors), dtype=torch.long, device=anchors.device)
    index = torch.zeros_like(label)
    if len(target.boxes):
        iou = box_iou(anchors, target.boxes)  # (N, M)
        centres, middles = (anchors[:, :2] + anchors[:, 2:]) / 2, (target.boxes[:, :2] + target.boxes[:, 2:]) / 2
        far = torch.cdist(centres, middles)
        offsets = [0, *torch.tensor([len(level) for level in levels]).cumsum(0).tolist()]
        rows = torch.cat(
            [
                start + far[start:end].topk(min(nearest, end - start), dim=0, largest=False).indices
                for start, end in itertools.pairwise(offsets)
            ]
        )  # (K, M)
        overlap = iou.gather(0, rows)
        enough = overlap >= overlap.mean(0) + overlap.std(0)
        at = centres[rows]  # (K, M, 2)
        inside = torch.cat([at - target.boxes[:, :2], target.boxes[:, 2:] - at], -1).amin(-1) > 0.01
        chosen = torch.full_like(iou, -1.0).scatter(0, rows, torch.where(enough & inside, overlap, -1.0))
        best, index = chosen.max(1)
        label = torch.where(best >= 0, target.labels[index], label)
    label[(label == 0) & box_in_region(anchors, target.ignored)] = -1
    return label, index

"""From many overlapping candidates to few boxes: NMS, soft-NMS, and fusion of several views or models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import batched_nms

from parsing.configs import Share, config, nearest
from parsing.errors import InputError
from parsing.geometry import box_areas, box_ious
from parsing.types import Array

INSIDE, FILLED, APART_IOU = 0.8, 0.6, 0.2  # shares of a member's area and of the group's; overlap of two members
Boxes = tuple[Array, Array, Array]  # xyxy (K, 4) px, scores (K,), class ids (K,); best first


@config
class Suppression:
    """How overlapping boxes of a class become one.

    Args:
        method: `nms` keeps the best; `soft_nms` lowers the scores of the others by exp(-IoU² / sigma) (Bodla et al.,
            ICCV 2017); `wbf` averages them over views (Solovyev et al., Weighted Boxes Fusion, 2021).
        iou: overlap from which boxes are taken for the same object; not used by soft-NMS.
        drop_groups: also drop boxes around several better ones, see `without_groups`.
    """

    method: Literal["nms", "soft_nms", "wbf"] = "nms"
    iou: Share = 0.6
    sigma: Annotated[float, Field(gt=0, le=100)] = 0.5
    drop_groups: bool = False


def class_thresholds(class_names: Sequence[str], common: float, own: dict[str, float]) -> Array:
    """(C,) smallest score of each class.

    Raises:
        InputError: `own` names a class that the detector does not have.
    """
    for name in own:
        if name not in class_names:
            raise InputError(f"score_thresholds: unknown class {name!r}; {nearest(name, class_names)}")
    return np.array([own.get(name, common) for name in class_names], np.float32)


def select_boxes(
    views: Sequence[tuple[Tensor, Tensor]], thresholds: Array, settings: Suppression, most: int, image_hw: tuple[int, int]
) -> Boxes:
    """Boxes of one image from the candidates of one or more views of it.

    Args:
        views: boxes (R, 4) px of the image and scores (R, C).
        thresholds: (C,); candidates must score above.
        most: boxes kept.
    """
    found = _suppressed([_above(boxes, scores, thresholds) for boxes, scores in views], thresholds, settings, most, image_hw)
    return without_groups(found) if settings.drop_groups else found


def _suppressed(
    pairs: list[tuple[Tensor, Tensor, Tensor]], thresholds: Array, settings: Suppression, most: int, image_hw: tuple[int, int]
) -> Boxes:
    if settings.method == "wbf":
        boxes, scores, classes = fuse([_nms(*pair, settings.iou, most) for pair in pairs], image_hw, settings.iou, None)
        return boxes[:most], scores[:most], classes[:most]
    together = [torch.cat(column) for column in zip(*pairs, strict=True)]
    if settings.method == "nms":
        return _nms(together[0], together[1], together[2], settings.iou, most)
    boxes, scores, classes = (column.cpu().numpy() for column in together)
    return _soft_nms((boxes, scores, classes), thresholds, settings.sigma, most)


def without_groups(found: Boxes) -> Boxes:
    """Boxes but for those around a group: two or more better ones of the class, apart from each other, that fill most of it.

    Args:
        found: best first.
    """
    boxes, scores, classes = found
    areas = box_areas(boxes)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    apart = box_ious(boxes, boxes) < APART_IOU
    single = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        inside = np.flatnonzero(single[:i] & (classes[:i] == classes[i]) & (shared[i, :i] >= INSIDE * areas[:i]))
        single[i] = not (apart[np.ix_(inside, inside)].any() and shared[i, inside].sum() >= FILLED * areas[i])
    return boxes[single], scores[single], classes[single]


def _above(boxes: Tensor, scores: Tensor, thresholds: Array) -> tuple[Tensor, Tensor, Tensor]:
    rows, classes = torch.nonzero(scores > torch.from_numpy(thresholds).to(scores.device), as_tuple=True)
    return boxes[rows], scores[rows, classes], classes


def _nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou: float, most: int) -> Boxes:
    kept = batched_nms(boxes, scores, classes, iou)[:most]
    return boxes[kept].cpu().numpy(), scores[kept].clamp(0, 1).cpu().numpy(), classes[kept].cpu().numpy()


def _soft_nms(found: Boxes, thresholds: Array, sigma: float, most: int) -> Boxes:
    """Gaussian soft-NMS within each class; scores are lowered until they fall to their class's threshold."""
    boxes, scores, classes = found
    scores, left, order = scores.copy(), np.ones(len(boxes), bool), list[int]()
    while left.any() and len(order) < most:
        best = int(np.where(left, scores, -1).argmax())
        order.append(best)
        left[best] = False
        others = np.flatnonzero(left & (classes == classes[best]))
        scores[others] *= np.exp(-(box_ious(boxes[best][None], boxes[others])[0] ** 2) / sigma)
        left &= scores > thresholds[classes]
    return boxes[order], scores[order].clip(0, 1), classes[order]


def fuse(found: Sequence[Boxes], image_hw: tuple[int, int], iou: float, weights: Sequence[float] | None) -> Boxes:
    """Weighted boxes fusion of what several views or models found in one image (Solovyev et al., 2021).

    Boxes of a class, best first, join the fused box that they overlap most, whose sides are the average of its members'
    by weighted score. Its score is their mean, lowered by the share of views that did not find it.

    Args:
        iou: overlap above which a box joins a fused one.
        weights: of each view or model; None weighs all alike.
    """
    weight = np.ones(len(found)) if weights is None else np.asarray(weights, float)
    height, width = image_hw
    boxes = np.clip(np.concatenate([boxes for boxes, _, _ in found]).astype(float), 0, [width, height, width, height])
    scores = np.concatenate([scores * share for (_, scores, _), share in zip(found, weight, strict=True)])
    classes = np.concatenate([classes for _, _, classes in found]).astype(np.int64)
    sided = (boxes[:, 2:] > boxes[:, :2]).all(1) & (scores > 0)
    if not sided.any():
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    of_class = {label: np.flatnonzero(sided & (classes == label)) for label in np.unique(classes[sided])}
    fused = {label: _fuse_class(boxes[rows], scores[rows], iou, weight) for label, rows in of_class.items()}
    boxes, scores = (np.concatenate(column) for column in zip(*fused.values(), strict=True))
    classes = np.repeat(list(fused), [len(own) for own, _ in fused.values()])
    order = np.argsort(-scores, kind="stable")
    return boxes[order].astype(np.float32), scores[order].clip(0, 1).astype(np.float32), classes[order]


def _fuse_class(boxes: Array, scores: Array, iou: float, weights: Array) -> tuple[Array, Array]:
    """Fused boxes (K, 4) and scores (K,) of the boxes of one class."""
    fused = np.zeros((len(boxes), 4))  # sides so far
    sums, members, count = np.zeros(len(boxes)), np.zeros(len(boxes), int), 0
    for i in np.argsort(-scores, kind="stable"):
        overlaps = box_ious(boxes[i][None], fused[:count])[0]
        best = int(overlaps.argmax()) if count and overlaps.max() > iou else count
        count += best == count
        fused[best] = (fused[best] * sums[best] + boxes[i] * scores[i]) / (sums[best] + scores[i])
        sums[best] += scores[i]
        members[best] += 1
    members = members[:count]
    return fused[:count], sums[:count] / members * np.minimum(len(weights), members) / weights.sum()

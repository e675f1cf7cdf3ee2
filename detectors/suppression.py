"""From many overlapping candidates to few boxes: NMS, soft-NMS, and fusion of several views or models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import batched_nms

from parsing.configs import config, nearest
from parsing.errors import InputError
from parsing.geometry import box_ious
from parsing.types import Array

Share = Annotated[float, Field(ge=0, le=1)]
Boxes = tuple[Array, Array, Array]  # xyxy (K, 4) px, scores (K,), class ids (K,); best first


@config
class Suppression:
    """How overlapping boxes of a class become one.

    Args:
        method: `nms` keeps the best; `soft_nms` lowers the scores of the others by exp(-IoU² / sigma) (Bodla et al.,
            ICCV 2017); `wbf` averages them over views (Solovyev et al., Weighted Boxes Fusion, 2021).
        iou: overlap from which boxes are taken for the same object; not used by soft-NMS.
    """

    method: Literal["nms", "soft_nms", "wbf"] = "nms"
    iou: Share = 0.6
    sigma: Annotated[float, Field(gt=0)] = 0.5


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
    pairs = [_above(boxes, scores, thresholds) for boxes, scores in views]
    if settings.method == "wbf":
        boxes, scores, classes = fuse([_nms(*pair, settings.iou, most) for pair in pairs], image_hw, settings.iou, None)
        return boxes[:most], scores[:most], classes[:most]
    together = [torch.cat(column) for column in zip(*pairs, strict=True)]
    if settings.method == "nms":
        return _nms(together[0], together[1], together[2], settings.iou, most)
    boxes, scores, classes = (column.cpu().numpy() for column in together)
    return _soft_nms((boxes, scores, classes), thresholds, settings.sigma, most)


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
    """Weighted box fusion of what several views or models found in one image.

    A box that only some of them found loses score accordingly.

    Args:
        weights: of each view or model; None weighs all alike.
    """
    from ensemble_boxes import weighted_boxes_fusion

    if not any(len(boxes) for boxes, _, _ in found):
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    size = _size(image_hw)
    columns = [(np.clip(boxes / size, 0, 1), scores, classes) for boxes, scores, classes in found]
    sided = [np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(1)) for boxes, _, _ in columns]  # the library warns of others
    lists = [[column[i][keep] for column, keep in zip(columns, sided, strict=True)] for i in range(3)]
    boxes, scores, classes = weighted_boxes_fusion(*lists, weights=weights, iou_thr=iou)
    return (boxes * size).astype(np.float32), np.clip(scores, 0, 1).astype(np.float32), classes.astype(np.int64)


def _size(image_hw: tuple[int, int]) -> Array:
    height, width = image_hw
    return np.array([width, height, width, height], np.float32)

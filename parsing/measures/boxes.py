"""COCO average precision and recall of boxes, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from parsing.types import Array

logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # it logs a table for every evaluation
AREAS = ("all", "small", "medium", "large")  # COCO's: below 32² px, below 96² px, above
MAX_BOXES = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """Ground truth of one image: boxes (M, 4) px, class_ids (M,) from 0, crowd (M,) bool (ignored where true)."""

    xyxy: Array
    class_ids: Array
    crowd: Array


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What COCO's protocol gives: precision (10 IoUs, 101 recalls, C, 4 areas, 3 limits), recall without the recalls; -1 unknown."""

    class_names: tuple[str, ...]
    precision: Array
    recall: Array
    num_images: int
    num_boxes: int

    def figures(self) -> dict[str, Any]:
        """AP (IoU 0.50:0.95), AP50, AP75, AP by size of the object, AR, and AP and AP50 of each class that occurs.

        Figures lie in [0, 1]; None where there is no ground truth.
        """
        ap = {f"AP_{area}": _mean(self.precision[:, :, :, i, -1]) for i, area in enumerate(AREAS) if i}
        per_class = range(len(self.class_names))
        return {
            "AP": _mean(self.precision[:, :, :, 0, -1]),
            "AP50": _mean(self.precision[0, :, :, 0, -1]),
            "AP75": _mean(self.precision[5, :, :, 0, -1]),
            **ap,
            "AR": _mean(self.recall[:, :, 0, -1]),
            "AR1": _mean(self.recall[:, :, 0, 0]),
            "AR10": _mean(self.recall[:, :, 0, 1]),
            "AP_per_class": {self.class_names[i]: _mean(self.precision[:, :, i, 0, -1]) for i in per_class},
            "AP50_per_class": {self.class_names[i]: _mean(self.precision[0, :, i, 0, -1]) for i in per_class},
            "num_images": self.num_images,
            "num_boxes": self.num_boxes,
        }


def evaluate_boxes(truths: Sequence[BoxTruth], found: Sequence[tuple[Array, Array, Array]], class_names: Sequence[str]) -> Evaluation:
    """Compare boxes with ground truth as COCO does, with at most 100 boxes an image.

    Args:
        truths: ground truth of every image.
        found: boxes (K, 4) px, scores (K,), class_ids (K,) of every image.
    """
    names, num_boxes = tuple(class_names), int(sum((~t.crowd).sum() for t in truths))
    if not any(len(truth.xyxy) for truth in truths):
        shape = (10, len(names), len(AREAS), len(MAX_BOXES))
        return Evaluation(names, np.full((10, 101, *shape[1:]), -1.0), np.full(shape, -1.0), len(truths), 0)
    with contextlib.redirect_stdout(io.StringIO()):  # the library reports its steps on stdout
        truth = COCO(coco_dataset(truths, names))
        rows = coco_results(found)
        evaluation = COCOeval_faster(truth, truth.loadRes(rows) if rows else COCO({**truth.dataset, "annotations": []}), "bbox")
        evaluation.params.maxDets = list(MAX_BOXES)
        evaluation.run()
    return Evaluation(names, evaluation.eval["precision"], evaluation.eval["recall"], len(truths), num_boxes)


def box_metrics(truths: Sequence[BoxTruth], found: Sequence[tuple[Array, Array, Array]], class_names: Sequence[str]) -> dict[str, Any]:
    """The figures of `evaluate_boxes`."""
    return evaluate_boxes(truths, found, class_names).figures()


def _mean(values: Array) -> float | None:
    valid = values[values > -1]  # -1 marks classes without ground truth
    return round(float(valid.mean()), 4) if valid.size else None


def coco_dataset(truths: Sequence[BoxTruth], class_names: Sequence[str]) -> dict[str, Any]:
    """Ground truth as a COCO document; images are numbered from 1."""
    annotations: list[dict[str, Any]] = []
    for image_id, truth in enumerate(truths, 1):
        for box, class_id, crowd in zip(truth.xyxy, truth.class_ids, truth.crowd, strict=True):
            x0, y0, x1, y1 = map(float, box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(class_id) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": int(crowd),
                }
            )
    return {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(truths))],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(class_names)],
        "annotations": annotations,
    }


def coco_results(found: Sequence[tuple[Array, Array, Array]], image_ids: Sequence[Any] | None = None) -> list[dict[str, Any]]:
    """Boxes as a COCO results list, which pycocotools reads; images are numbered from 1 where they have no ids."""
    rows = []
    for image_id, (boxes, scores, class_ids) in zip(image_ids or range(1, len(found) + 1), found, strict=True):
        widths = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        for box, score, class_id in zip(widths.tolist(), scores.tolist(), class_ids.tolist(), strict=True):
            rows.append({"image_id": image_id, "category_id": int(class_id) + 1, "bbox": box, "score": score})
    return rows

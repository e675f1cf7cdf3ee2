"""COCO average precision of boxes."""

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


@dataclass(frozen=True, eq=False)
class BoxTruth:
    """Ground truth of one image: boxes (M, 4) px, class_ids (M,) from 0, crowd (M,) bool."""

    xyxy: Array
    class_ids: Array
    crowd: Array


def box_metrics(
    truths: Sequence[BoxTruth], found: Sequence[tuple[Array, Array, Array]], class_names: Sequence[str], max_boxes: int = 100
) -> dict[str, Any]:
    """COCO AP (IoU 0.50:0.95), AP50, AP75, AR, and AP50 of each class that occurs.

    Args:
        truths: ground truth of every image.
        found: boxes (K, 4) px, scores (K,), class_ids (K,) of every image.

    Returns:
        Figures in [0, 1]; `AP` and the others are None where there is no ground truth at all.
    """
    if not any(len(truth.xyxy) for truth in truths):
        return {"AP": None, "AP50": None, "AP75": None, "AR": None, "AP50_per_class": {}, "num_images": len(truths), "num_boxes": 0}
    with contextlib.redirect_stdout(io.StringIO()):  # the library reports its steps on stdout
        truth = COCO(_dataset(truths, class_names))
        rows = _results(found)
        evaluation = COCOeval_faster(truth, truth.loadRes(rows) if rows else COCO({**truth.dataset, "annotations": []}), "bbox")
        evaluation.params.maxDets = [1, 10, max_boxes]
        evaluation.run()
    precision = evaluation.eval["precision"]  # IoU, recall, class, area, maxDets
    recall = evaluation.eval["recall"]  # IoU, class, area, maxDets
    return {
        "AP": _mean(precision[:, :, :, 0, -1]),
        "AP50": _mean(precision[0, :, :, 0, -1]),
        "AP75": _mean(precision[5, :, :, 0, -1]),
        "AR": _mean(recall[:, :, 0, -1]),
        "AP50_per_class": {name: _mean(precision[0, :, i, 0, -1]) for i, name in enumerate(class_names)},
        "num_images": len(truths),
        "num_boxes": int(sum((~t.crowd).sum() for t in truths)),
    }


def _mean(values: Array) -> float | None:
    valid = values[values > -1]  # -1 marks classes without ground truth
    return round(float(valid.mean()), 4) if valid.size else None


def _dataset(truths: Sequence[BoxTruth], class_names: Sequence[str]) -> dict[str, Any]:
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


def _results(found: Sequence[tuple[Array, Array, Array]]) -> list[dict[str, Any]]:
    rows = []
    for image_id, (boxes, scores, class_ids) in enumerate(found, 1):
        widths = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        for box, score, class_id in zip(widths.tolist(), scores.tolist(), class_ids.tolist(), strict=True):
            rows.append({"image_id": image_id, "category_id": int(class_id) + 1, "bbox": box, "score": score})
    return rows

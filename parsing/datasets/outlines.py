"""Boxes around COCO's segmentations, for files that give no `bbox`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pycocotools import mask

from parsing.types import Array

# COCO's compressed runs hold six bits a character; the last one of a number lacks the bit that says that it goes on.
# pycocotools reads beyond the end of a text that is not of this form.
_COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])+")


def outline_box(segmentation: Any, image_hw: tuple[int, int]) -> Array:
    """(4,) xyxy px around polygons (flat lists of x, y) or a run-length mask (`counts`, `size`).

    Raises:
        ValueError: neither, of another size than the image, or empty.
    """
    if isinstance(segmentation, dict):
        return _mask_box(segmentation, image_hw)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f"segmentation {segmentation!r:.60}, expected polygons or a run-length mask")
    points = [_polygon(polygon) for polygon in segmentation]
    every = np.concatenate(points)
    return np.concatenate([every.min(0), every.max(0)])


def _polygon(values: Any) -> Array:
    try:
        points = np.asarray(values, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError(f"polygon {values!r:.60}, expected x, y, x, y, …") from None
    if len(points) < 3 or not np.isfinite(points).all():
        raise ValueError(f"polygon {values!r:.60}, expected at least three points of finite numbers")
    return points


def _mask_box(value: dict[str, Any], image_hw: tuple[int, int]) -> Array:
    counts, size = value.get("counts"), value.get("size")
    if size != list(image_hw):
        raise ValueError(f"mask of size {size!r:.40}, expected [{image_hw[0]}, {image_hw[1]}] (height, width)")
    if isinstance(counts, list):
        counts = mask.frPyObjects({"counts": _runs(counts, image_hw), "size": size}, *image_hw)["counts"]
    elif not isinstance(counts, str) or not _COMPRESSED.fullmatch(counts):
        raise ValueError(f"mask of counts {counts!r:.40}, expected run lengths")
    x, y, width, height = mask.toBbox({"counts": counts, "size": size}).tolist()
    return np.array([x, y, x + width, y + height])


def _runs(counts: list[Any], image_hw: tuple[int, int]) -> list[int]:
    pixels = image_hw[0] * image_hw[1]
    if not all(isinstance(run, int) and 0 <= run <= pixels for run in counts) or sum(counts) != pixels:
        raise ValueError(f"mask of {len(counts)} runs, expected whole numbers that fill {pixels} pixels")
    return counts

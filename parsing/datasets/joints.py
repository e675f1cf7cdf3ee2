"""Keypoints of other data sets in the two orders that are used here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parsing.datasets.records import PartRecord
from parsing.keypoints import BLAZEPOSE_NAMES, COCO_NAMES, LAYOUTS
from parsing.types import Array

# The joints of BlazePose's hands: knuckles of index and little finger, and the end of the thumb.
_KNUCKLES = {"thumb": "thumb3", "index": "index1", "pinky": "pinky1"}
MPII = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "neck", "head_top",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_SYNONYMS = {"top_head": "head_top", "head_bottom": "neck"}
HALPE_COUNTS = (17, 26, 136)
HEAD_WIDTH = 0.8  # of its height, from the neck to the top


def joint_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """The names of `count` joints, from those in the file, or for Halpe, which gives none, from the count.

    Raises:
        ValueError: neither fits.
    """
    if len(names) == count:
        lower = [name.lower().replace(" ", "_") for name in names[:count]]
        # CrowdPose's "head" is the top of it, JHMDB's (which has a belly) its middle.
        synonyms = _SYNONYMS if "belly" in lower else {**_SYNONYMS, "head": "head_top"}
        return tuple(synonyms.get(name, name) for name in lower)
    if count not in HALPE_COUNTS:
        raise ValueError(f"{count} keypoints, expected {len(names) or '17, 26 or 136'}")
    return LAYOUTS[count]


def as_points(values: Any, count: int | None = None) -> Array:
    """(K, 3) x, y, v from a flat list.

    Raises:
        ValueError: not `count` triples of finite numbers.
    """
    points = np.asarray(values, np.float32).reshape(-1, 3)
    if count is not None and len(points) != count:
        raise ValueError(f"{len(points)} keypoints, expected {count}")
    if not np.isfinite(points).all():
        raise ValueError("keypoints are not finite")
    return points


def to_coco(points: dict[str, Array]) -> Array | None:
    """(17, 3) in COCO order; joints that are not there have v = 0. None without any."""
    found = np.stack([points.get(name, np.zeros(3, np.float32)) for name in COCO_NAMES])
    return found if (found[:, 2] > 0).any() else None


def to_blazepose(points: dict[str, Array]) -> Array | None:
    """(33, 3) in BlazePose order where hands or feet are known; None otherwise."""
    named = dict(points)
    for side in ("left", "right"):
        for joint, knuckle in _KNUCKLES.items():
            if (point := points.get(f"{side}_{knuckle}")) is not None:
                named[f"{side}_{joint}"] = point
    extra = [name for name in BLAZEPOSE_NAMES if name not in COCO_NAMES and name in named and named[name][2] > 0]
    if not extra:
        return None
    found = np.stack([named.get(name, np.zeros(3, np.float32)) for name in BLAZEPOSE_NAMES])
    found[:, 2] = found[:, 2] > 0
    return found


def head_between(points: dict[str, Array], image_hw: tuple[int, int]) -> tuple[PartRecord, ...]:
    """The head's box from its top and the neck, for sets without a face; none where these are not seen."""
    top, neck = points.get("head_top"), points.get("neck")
    if top is None or neck is None or min(top[2], neck[2]) <= 0 or "nose" in points:
        return ()
    along = neck[:2] - top[:2]
    across = np.array([-along[1], along[0]]) * HEAD_WIDTH / 2
    corners = np.stack([top[:2] + across, top[:2] - across, neck[:2] + across, neck[:2] - across])
    limit = np.array([image_hw[1], image_hw[0]])
    low, high = np.clip(corners.min(0), 0, limit), np.clip(corners.max(0), 0, limit)
    return (PartRecord("head", np.concatenate([low, high]).astype(np.float32)),) if (high > low).all() else ()

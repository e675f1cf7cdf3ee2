"""Annotations of an image as it is stored, turned to how it is shown.

Cameras store a picture as the sensor lies and note in EXIF how to turn it. The pipeline sees pictures as they are shown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from parsing.datasets.records import ImageRecord, ObjectRecord
from parsing.media.images import ImageHeader
from parsing.types import Array

# EXIF orientation: whether x and y change places, and whether x and y are then mirrored.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def as_shown(record: ImageRecord, header: ImageHeader) -> ImageRecord:
    """A record whose boxes and keypoints lie in the stored image, in pixels of the image as it is shown.

    Names of keypoints and parts stay as annotated, in mirrored images too.
    """
    objects = tuple(_turned_object(item, header) for item in record.objects)
    return replace(record, image_hw=header.shown_hw, objects=objects)


def turn_points(points: Array, header: ImageHeader) -> Array:
    """(N, 2) x, y of the stored image as x, y of the shown one."""
    transposed, flipped_x, flipped_y = _TURNS[header.orientation]
    height, width = header.shown_hw
    x, y = points[:, ::-1].T if transposed else points.T
    return np.stack([width - x if flipped_x else x, height - y if flipped_y else y], 1).astype(np.float32)


def _turned_object(item: ObjectRecord, header: ImageHeader) -> ObjectRecord:
    parts = tuple(replace(part, xyxy=_turned_box(part.xyxy, header)) for part in item.parts)
    keypoints17, keypoints33 = (_turned_keypoints(points, header) for points in (item.keypoints17, item.keypoints33))
    return replace(item, xyxy=_turned_box(item.xyxy, header), keypoints17=keypoints17, keypoints33=keypoints33, parts=parts)


def _turned_box(xyxy: Array, header: ImageHeader) -> Array:
    corners = turn_points(xyxy.reshape(2, 2), header)
    return np.concatenate([corners.min(0), corners.max(0)])


def _turned_keypoints(points: Array | None, header: ImageHeader) -> Array | None:
    """(K, 3) x, y, v; a point that nobody annotated stays where it is."""
    if points is None:
        return None
    known = points[:, 2:] > 0
    return np.where(known, np.concatenate([turn_points(points[:, :2], header), points[:, 2:]], 1), points)

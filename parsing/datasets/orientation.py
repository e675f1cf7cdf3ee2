"""Annotations of an image as it is stored, turned to how it is shown.

Cameras store a picture as the sensor lies and note in EXIF how to turn it. The pipeline sees pictures as they are shown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from parsing.datasets.records import ImageRecord, ObjectRecord
from parsing.media.images import ImageHeader
from parsing.types import Array


def as_shown(record: ImageRecord, header: ImageHeader) -> ImageRecord:
    """A record whose boxes and keypoints lie in the stored image, in pixels of the image as it is shown.

    Names of keypoints and parts stay as annotated, in mirrored images too.
    """
    objects = tuple(_turned_object(item, header) for item in record.objects)
    return replace(record, image_hw=header.shown_hw, objects=objects)


def _turned_object(item: ObjectRecord, header: ImageHeader) -> ObjectRecord:
    parts = tuple(replace(part, xyxy=_turned_box(part.xyxy, header)) for part in item.parts)
    keypoints17, keypoints33 = (_turned_keypoints(points, header) for points in (item.keypoints17, item.keypoints33))
    return replace(item, xyxy=_turned_box(item.xyxy, header), keypoints17=keypoints17, keypoints33=keypoints33, parts=parts)


def _turned_box(xyxy: Array, header: ImageHeader) -> Array:
    corners = header.orientation.turn_points(xyxy.reshape(2, 2), header.shown_hw)
    return np.concatenate([corners.min(0), corners.max(0)])


def _turned_keypoints(points: Array | None, header: ImageHeader) -> Array | None:
    """(K, 3) x, y, v; a point that nobody annotated stays where it is."""
    if points is None:
        return None
    turned = header.orientation.turn_points(points[:, :2], header.shown_hw)
    return np.where(points[:, 2:] > 0, np.concatenate([turned, points[:, 2:]], 1), points)

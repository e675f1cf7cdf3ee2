"""Boxes and crops. All boxes are xyxy in pixels, float32."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from parsing.types import Array


def box_areas(boxes: Array) -> Array:
    """(N,) areas of (N, 4) boxes; a box whose corners are swapped has none."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1])


def box_ious(first: Array, second: Array) -> Array:
    """(N, M) intersection over union of (N, 4) and (M, 4) boxes; 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    union = box_areas(first)[:, None] + box_areas(second)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def clip_boxes(boxes: Array, image_hw: tuple[int, int]) -> Array:
    """(..., 4) boxes moved inside an image; one that lay outside has zero area."""
    height, width = image_hw
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def window_pixels(image: Array, corner: tuple[float, float], scale: float, size_hw: tuple[int, int], border: int) -> Array:
    """(h, w, 3) uint8 window of an (H, W, 3) image, bilinear; where it shrinks to less than half, pixels are averaged first.

    Args:
        corner: left and top of the window in image pixels; may lie outside of the image.
        scale: pixels of the window for each of the image.
        border: grey of what lies outside of the image.
    """
    left, top = corner
    x0, y0 = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
    x1 = min(image.shape[1], int(np.ceil(left + size_hw[1] / scale)))
    y1 = min(image.shape[0], int(np.ceil(top + size_hw[0] / scale)))
    if x1 <= x0 or y1 <= y0:
        return np.full((*size_hw, 3), border, np.uint8)
    window = image[y0:y1, x0:x1]
    if scale < 0.5:  # bilinear sampling would skip pixels
        shrink = max(1, round(1 / scale))
        window = cv2.resize(window, (max(1, window.shape[1] // shrink), max(1, window.shape[0] // shrink)), interpolation=cv2.INTER_AREA)
    step_x, step_y = (x1 - x0) / window.shape[1], (y1 - y0) / window.shape[0]
    # Pixel centres: window pixel u sits at x0 + (u + 0.5) * step - 0.5 in the image.
    matrix = np.array(
        [
            [scale * step_x, 0, scale * (x0 + 0.5 * step_x - left) - 0.5],
            [0, scale * step_y, scale * (y0 + 0.5 * step_y - top) - 0.5],
        ]
    )
    return np.asarray(cv2.warpAffine(window, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR, borderValue=(border,) * 3))


@dataclass(frozen=True)
class Crop:
    """A square window of an image scaled to a square of pixels: maps boxes there and back.

    Args:
        left, top: corner of the window in image pixels; may lie outside of the image.
        side_px: side of the window in image pixels.
        size: side of the crop in its own pixels.
    """

    left: float
    top: float
    side_px: float
    size: int

    @classmethod
    def around(cls, box: Array, size: int, scale: float) -> Crop:
        """The square around the centre of a (4,) box whose side is `scale` times the box's longer side."""
        side = max(2.0, float(max(box[2] - box[0], box[3] - box[1])) * scale)
        centre_x, centre_y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
        return cls(centre_x - side / 2, centre_y - side / 2, side, size)

    def pixels(self, image: Array) -> Array:
        """(size, size, 3) uint8 crop of an (H, W, 3) image; what lies outside of the image is grey (114)."""
        return window_pixels(image, (self.left, self.top), self.size / self.side_px, (self.size, self.size), 114)

    def to_crop(self, boxes: Array) -> Array:
        """(..., 4) boxes from image pixels to crop pixels; not clipped."""
        origin = np.array([self.left, self.top, self.left, self.top], np.float32)
        return (np.asarray(boxes, np.float32) - origin) * np.float32(self.size / self.side_px)

    def points_to_crop(self, points: Array) -> Array:
        """(..., 2 or more) points from image pixels to crop pixels; what follows x and y stays."""
        moved = np.array(points, np.float32)
        moved[..., :2] = (moved[..., :2] - np.array([self.left, self.top], np.float32)) * np.float32(self.size / self.side_px)
        return moved

    def to_image(self, boxes: Array) -> Array:
        """(..., 4) boxes from crop pixels to image pixels; not clipped."""
        origin = np.array([self.left, self.top, self.left, self.top], np.float32)
        return np.asarray(boxes, np.float32) * np.float32(self.side_px / self.size) + origin

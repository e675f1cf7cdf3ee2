"""Boxes and crops. All boxes are xyxy in pixels, float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from parsing.types import Array

BORDER = 114  # grey of what a crop shows outside of the image


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


class Sampling(NamedTuple):
    """How a window samples an image along one axis, bilinear; where it shrinks to less than half, pixels are averaged first.

    Args:
        begin, end: the pixels that it sees; the same where it sees none.
        cells: of equal width into which these are averaged; as many as pixels where nothing is.
        zoom: pixels of the window for each cell.
        offset: where the middle of the first cell lies, in pixels of the window whose first has its middle at 0.
    """

    begin: int
    end: int
    cells: int
    zoom: float
    offset: float

    @classmethod
    def of(cls, corner: float, scale: float, size: int, length: int) -> Sampling:
        """That of a window of `size` pixels, `scale` for each of the image, which begins at `corner` in an image of some length."""
        begin, end = max(0, int(np.floor(corner))), min(length, int(np.ceil(corner + size / scale)))
        if end <= begin:
            return cls(0, 0, 0, 1.0, 0.0)
        shrink = max(1, round(1 / scale)) if scale < 0.5 else 1  # bilinear sampling alone would skip pixels
        cells = max(1, (end - begin) // shrink)
        step = (end - begin) / cells
        # Pixel centres: cell c sits at begin + (c + 0.5) * step - 0.5 in the image.
        return cls(begin, end, cells, scale * step, scale * (begin + 0.5 * step - corner) - 0.5)


def window_pixels(image: Array, corner: tuple[float, float], scale: float, size_hw: tuple[int, int], border: int) -> Array:
    """(h, w, 3) uint8 window of an (H, W, 3) image, see `Sampling`.

    Args:
        corner: left and top of the window in image pixels; may lie outside of the image.
        scale: pixels of the window for each of the image.
        border: grey of what lies outside of the image.
    """
    columns, rows = (Sampling.of(corner[axis], scale, size_hw[1 - axis], image.shape[1 - axis]) for axis in (0, 1))
    if not columns.cells or not rows.cells:
        return np.full((*size_hw, 3), border, np.uint8)
    window = image[rows.begin : rows.end, columns.begin : columns.end]
    if window.shape[:2] != (rows.cells, columns.cells):
        window = cv2.resize(window, (columns.cells, rows.cells), interpolation=cv2.INTER_AREA)
    matrix = np.array([[columns.zoom, 0, columns.offset], [0, rows.zoom, rows.offset]])
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
        """(size, size, 3) uint8 crop of an (H, W, 3) image; what lies outside of the image is grey."""
        return window_pixels(image, (self.left, self.top), self.size / self.side_px, (self.size, self.size), BORDER)

    def samplings(self, image_hw: tuple[int, int]) -> tuple[Sampling, Sampling]:
        """How its rows and its columns sample an image."""
        scale, (height, width) = self.size / self.side_px, image_hw
        return Sampling.of(self.top, scale, self.size, height), Sampling.of(self.left, scale, self.size, width)

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

"""Views of images with their boxes: one affine warp to a square canvas, then colour."""

from __future__ import annotations

import cv2
import numpy as np

from parsing.types import Array

GREY = (114, 114, 114)


def view_matrix(centre: Array, scale: float, angle_deg: float, size: int) -> Array:
    """(2, 3) affine map that turns around `centre` (x, y in image pixels), scales, and puts it in the canvas' middle."""
    turn = np.deg2rad(angle_deg)
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = size / 2 - matrix[:, :2] @ np.asarray(centre, float)
    return matrix


def warp_image(image: Array, matrix: Array, size: int) -> Array:
    """(size, size, 3) view of an (H, W, 3) uint8 image; grey outside. Shrinks by area first where it would skip pixels."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        height, width = image.shape[:2]
        small = cv2.resize(image, (max(1, round(width * scale * 1.5)), max(1, round(height * scale * 1.5))), interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / small.shape[1], height / small.shape[0], 1.0])
        image = small
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=GREY))


def warp_points(points: Array, matrix: Array) -> Array:
    """(..., 2) points moved by a (2, 3) map."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def warp_boxes(boxes: Array, matrix: Array) -> Array:
    """(N, 4) boxes after a similarity map, kept tight: each is the bound of its inscribed ellipse, not of its corners."""
    centres = warp_points((boxes[:, :2] + boxes[:, 2:]) / 2, matrix)
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    extent = np.sqrt((half**2) @ (matrix[:, :2] ** 2).T)
    return np.concatenate([centres - extent, centres + extent], 1).astype(np.float32)


def flip_view(image: Array, boxes: Array) -> tuple[Array, Array]:
    """Mirror a view and its (N, 4) boxes from left to right."""
    width = image.shape[1]
    mirrored = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1) if len(boxes) else boxes
    return np.ascontiguousarray(image[:, ::-1]), mirrored


def jitter_colour(image: Array, random: np.random.Generator) -> Array:
    """Brightness, contrast, saturation and hue; now and then grey, blurred or compressed, as video is."""
    gain, offset = random.uniform(0.6, 1.4), random.uniform(-20, 20)
    saturation = 0.0 if random.random() < 0.1 else random.uniform(0.5, 1.5)
    # All of them are one linear map of the colours: grey + saturation * (colour - grey), brighter, and shifted.
    mix = gain * (saturation * np.eye(3) + (1 - saturation) / 3)
    x = cv2.transform(image, np.column_stack([mix, offset + random.uniform(-8, 8, 3)]))
    if random.random() < 0.15:
        x = cv2.GaussianBlur(x, (0, 0), random.uniform(0.4, 1.6))
    if random.random() < 0.2:
        _, coded = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 80))])
        x = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.asarray(x)

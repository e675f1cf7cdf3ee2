"""Boxes drawn on annotated images: what was found beside what is true."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from detectors.evaluation import Target, frame_of
from detectors.networks import DetectionNetwork
from detectors.parts import NetworkPartDetector
from detectors.persons import NetworkPersonDetector
from detectors.suppression import Suppression
from parsing.datasets.records import ImageRecord, true_parts
from parsing.geometry import Crop
from parsing.stages import PoseEstimator
from parsing.types import Array, Detections

TILE_PX, COLUMNS, NUM_EXAMPLES = 224, 4, 8
SHOWN_SCORE = 0.4
TRUTH_COLOUR, FOUND_COLOUR, IGNORED_COLOUR = (60, 200, 60), (255, 140, 0), (160, 160, 160)


def draw_boxes(image: Array, boxes: Array, colour: tuple[int, int, int], names: Sequence[str] = (), width: int = 1) -> Array:
    """A copy of an (H, W, 3) picture with (N, 4) boxes and their names."""
    canvas = np.ascontiguousarray(image)
    for i, (x0, y0, x1, y1) in enumerate(np.asarray(boxes).round().astype(int).tolist()):
        cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, width)
        if names:
            cv2.putText(canvas, names[i], (x0 + 1, max(8, y0 - 2)), cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1, cv2.LINE_AA)
    return canvas


def contact_sheet(tiles: Sequence[Array], columns: int = COLUMNS) -> Array:
    """Square pictures of one size side by side, row by row; grey where there is none."""
    side = tiles[0].shape[0] if tiles else TILE_PX
    rows = -(-max(1, len(tiles)) // columns)
    sheet = np.full((rows * side, columns * side, 3), 90, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = divmod(i, columns)
        sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = tile
    return sheet


def fit_tile(image: Array, side: int = TILE_PX) -> tuple[Array, Crop]:
    """A picture scaled into a square, and the window that this was."""
    height, width = image.shape[:2]
    crop = Crop.around(np.array([0, 0, width, height], np.float32), side, 1.0)
    return crop.pixels(image), crop


def draw_examples(
    network: DetectionNetwork, records: Sequence[ImageRecord], target: Target, device: str, pose: PoseEstimator | None
) -> Array:
    """A sheet of validation images spread over the set: truth green, found orange."""
    names = network.architecture.class_names
    usable = [r for r in records if (any(p.has_parts(names) for p in r.persons) if target == "parts" else r.objects)]
    chosen = [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, NUM_EXAMPLES).round().astype(int))] if usable else []
    draw = _persons_tile if target == "persons" else _parts_tile
    return contact_sheet([draw(network, record, device, pose) for record in chosen])


def _persons_tile(network: DetectionNetwork, record: ImageRecord, device: str, pose: PoseEstimator | None) -> Array:
    del pose
    frame, names = frame_of(record), network.architecture.class_names
    found = NetworkPersonDetector(network, device, SHOWN_SCORE, Suppression(), 50, classes=names)([frame])[0]
    tile, crop = fit_tile(frame.image)
    truth = np.array([item.xyxy for item in record.objects], np.float32).reshape(-1, 4)
    tile = draw_boxes(tile, crop.to_crop(truth), TRUTH_COLOUR)
    return draw_boxes(tile, crop.to_crop(found.xyxy), FOUND_COLOUR, [names[i] for i in found.class_ids])


def _parts_tile(network: DetectionNetwork, record: ImageRecord, device: str, pose: PoseEstimator | None) -> Array:
    frame, names = frame_of(record), network.architecture.class_names
    person = next(p for p in record.persons if p.has_parts(names))
    thresholds = np.full(len(names), SHOWN_SCORE, np.float32)
    persons = Detections(person.xyxy[None], np.ones(1), np.zeros(1))
    found = NetworkPartDetector(network, device, thresholds, 1, pose=pose)([frame], [persons])[0]
    crop = Crop.around(person.xyxy, TILE_PX, network.architecture.context)
    boxes, sure, _ = true_parts(person, names)
    tile = draw_boxes(crop.pixels(frame.image), crop.to_crop(boxes[sure]), TRUTH_COLOUR)
    shown = np.flatnonzero(found.visible[0])
    return draw_boxes(tile, crop.to_crop(found.xyxy[0, shown]), FOUND_COLOUR, [names[i] for i in shown])

"""YOLOX-nano (Megvii, Apache-2.0) and BlazePose heavy (Google, Apache-2.0) as graphs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from detectors.adapters.onnx_outputs import read_yolo
from parsing.networks.graphs import open_graph
from parsing.types import Array
from teachers.boxes import without_doubles
from teachers.movenet import GREY, Boxes

INPUT_PX = 416
MIN_SCORE, SUPPRESS_IOU = 0.05, 0.6


class Yolox:
    """Persons of a picture."""

    def __init__(self, path: Path) -> None:
        self.graph = open_graph(path)

    def __call__(self, image: Array) -> Boxes:
        height, width = image.shape[:2]
        scale = INPUT_PX / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = np.full((INPUT_PX, INPUT_PX, 3), GREY, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        tensor = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
        found = read_yolo(self.graph(tensor), (INPUT_PX, INPUT_PX), self.graph.path)
        scores = found.scores[:, 0]  # of COCO's class `person`
        kept = scores > MIN_SCORE
        boxes = Boxes(np.clip(found.xyxy[kept] / scale, 0, [width, height, width, height]), scores[kept])
        order = without_doubles(boxes, SUPPRESS_IOU)
        return Boxes(boxes.xyxy[order], boxes.scores[order])


class BlazePose:
    """33 joints of the person in a crop."""

    def __init__(self, folder: Path) -> None:
        self.graph = open_graph(folder / "pose_landmark_heavy.tflite")

    def __call__(self, crop: Array) -> Array:
        """(33, 3) x, y in pixels of a (256, 256, 3) RGB crop, and visibility."""
        marks = self.graph(crop[None].astype(np.float32) / 255)[0].reshape(39, 5)[:33]
        return np.concatenate([marks[:, :2], 1 / (1 + np.exp(-marks[:, 3:4]))], 1)

"""Cascade R-CNN as the pipeline's person detector and part detector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import box_iou

from detectors.cascade_rcnn import CascadeArchitecture, CascadeRCNN
from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.geometry import Crop, clip_boxes
from parsing.types import Array, Detections, Frame, ModelFacts, Parts
from parsing.weights import load_weights, read_header, sha256_of, weights_path

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
PAD_TO_PX = 32  # the coarsest stride of a backbone


@config
class CascadePersonConfig:
    """Options of the person detector at run time.

    Args:
        input_px: longer side of the input; None takes what the weights were trained for.
    """

    name: Literal["cascade_rcnn"]
    weights: str = "default/person_detector"
    score_threshold: Share = 0.3
    nms_iou: Share = 0.6
    max_persons: Count = 50
    input_px: Annotated[int, Field(ge=64)] | None = None

    def build(self, device: str) -> CascadePersonDetector:
        network = load_cascade(self.weights, ("person",), device)
        detector = CascadePersonDetector(network, device, self.score_threshold, self.nms_iou, self.max_persons, self.input_px)
        detector.facts = ModelFacts("person_detector", self.name, sha256_of(self.weights), json.dumps(asdict(self)))
        return detector


@config
class CascadePartConfig:
    """Options of the part detector at run time; `batch_size` counts person crops."""

    name: Literal["cascade_rcnn"]
    weights: str = "default/part_detector"
    score_threshold: Share = 0.25
    batch_size: Count = 16

    def build(self, device: str) -> CascadePartDetector:
        network = load_cascade(self.weights, None, device)
        detector = CascadePartDetector(network, device, self.score_threshold, self.batch_size)
        detector.facts = ModelFacts("part_detector", self.name, sha256_of(self.weights), json.dumps(asdict(self)))
        return detector


def load_cascade(weights: str, class_names: tuple[str, ...] | None, device: str) -> CascadeRCNN:
    """The network that a weights file describes, ready to run.

    Raises:
        InputError: the file is not of this component, or its classes are not `class_names`.
    """
    header = read_header(weights, "cascade_rcnn")
    architecture = parse_config(CascadeArchitecture, header.architecture, str(weights_path(weights)))
    if class_names is not None and architecture.class_names != class_names:
        raise InputError(f"{weights_path(weights)}: detects {', '.join(architecture.class_names)}; expected {', '.join(class_names)}")
    network = CascadeRCNN(architecture)
    load_weights(network, weights)
    return network.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class CascadePersonDetector:
    """Persons of whole frames, best first."""

    facts = ModelFacts("person_detector", "cascade_rcnn", None, "{}")

    def __init__(
        self, network: CascadeRCNN, device: str, score_threshold: float, nms_iou: float, max_persons: int, input_px: int | None = None
    ) -> None:
        self.network, self.device = network, device
        self.score_threshold, self.nms_iou, self.max_persons = score_threshold, nms_iou, max_persons
        self.input_px = input_px or network.architecture.input_px

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        # On a CPU a batch of frames is no faster than one after the other, and its last digits would depend on its size.
        step = 1 if self.device == "cpu" else max(1, len(frames))
        return [found for start in range(0, len(frames), step) for found in self._detect(frames[start : start + step])]

    def _detect(self, frames: Sequence[Frame]) -> list[Detections]:
        resized = [resize_to(frame.image, self.input_px) for frame in frames]
        batch, sizes = pad_batch(resized, self.device)
        found = self.network.detect(batch, sizes, self.score_threshold, self.nms_iou, self.max_persons)
        return [self._to_frame(frame, size, *result) for frame, size, result in zip(frames, sizes, found, strict=True)]

    @staticmethod
    def _to_frame(frame: Frame, size: tuple[int, int], boxes: Tensor, scores: Tensor, classes: Tensor) -> Detections:
        height, width = frame.image_hw
        scale = np.array([width / size[1], height / size[0]] * 2, np.float32)
        xyxy = clip_boxes(boxes.cpu().numpy() * scale, frame.image_hw)
        return Detections(xyxy, scores.clamp(0, 1).cpu().numpy(), classes.cpu().numpy())


class CascadePartDetector:
    """Top-down: every person is cropped, its parts are detected, and at most one box per part is kept."""

    facts = ModelFacts("part_detector", "cascade_rcnn", None, "{}")

    def __init__(self, network: CascadeRCNN, device: str, score_threshold: float, batch_size: int) -> None:
        self.network, self.device = network, device
        self.score_threshold, self.batch_size = score_threshold, batch_size
        self.part_names = network.architecture.class_names

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        return [self._of_frame(frame, found) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, frame: Frame, persons: Detections) -> Parts:
        """Parts of one frame's persons; batches do not reach across frames, so that results do not depend on their number."""
        size, context = self.network.architecture.input_px, self.network.architecture.context
        crops = [Crop.around(box, size, context) for box in persons.xyxy]
        rows: list[tuple[Array, Array]] = []
        for start in range(0, len(crops), self.batch_size):
            chunk = crops[start : start + self.batch_size]
            batch, sizes = pad_batch([crop.pixels(frame.image) for crop in chunk], self.device)
            for crop, (boxes, scores) in zip(chunk, self.network.score_proposals(batch, sizes), strict=True):
                best_boxes, best_scores = best_per_class(boxes, scores)
                rows.append((clip_boxes(crop.to_image(best_boxes), frame.image_hw), best_scores))
        return self._collect(rows)

    def _collect(self, rows: list[tuple[Array, Array]]) -> Parts:
        if not rows:
            return Parts.empty(0, len(self.part_names))
        boxes, scores = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
        visible = (scores >= self.score_threshold) & ((boxes[..., 2:] - boxes[..., :2]).min(-1) > 0)
        return Parts(boxes * visible[..., None], scores * visible, visible)


def best_per_class(boxes: Tensor, scores: Tensor) -> tuple[Array, Array]:
    """For each class the best box, averaged with the boxes that agree with it, weighted by score and by overlap past IoU 0.6.

    The weight fades to zero at the limit, so that the last digits of an overlap decide nothing.

    Args:
        boxes: (R, 4) px.
        scores: (R, C).

    Returns:
        (C, 4) boxes and (C,) scores; zeros without proposals.
    """
    num_classes = scores.shape[1]
    if len(boxes) == 0:
        return np.zeros((num_classes, 4), np.float32), np.zeros(num_classes, np.float32)
    best_scores, best = scores.max(0)
    agree = ((box_iou(boxes, boxes[best]) - 0.6) / 0.4).clamp(min=0) * scores  # (R, C)
    agree[best, torch.arange(num_classes)] = best_scores  # a degenerate box overlaps nothing, itself included
    weights = agree / agree.sum(0).clamp(min=1e-9)
    return (weights.T @ boxes).cpu().numpy(), best_scores.clamp(0, 1).cpu().numpy()


def resize_to(image: Array, longer_side_px: int) -> Array:
    """An image scaled so that its longer side has a length; averages where it shrinks."""
    height, width = image.shape[:2]
    scale = longer_side_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def pad_batch(images: Sequence[Array], device: str) -> tuple[Tensor, list[tuple[int, int]]]:
    """A batch (B, 3, H, W) in [0, 1], padded with grey to multiples of 32, and the sizes inside the padding."""
    height = -(-max(image.shape[0] for image in images) // PAD_TO_PX) * PAD_TO_PX
    width = -(-max(image.shape[1] for image in images) // PAD_TO_PX) * PAD_TO_PX
    batch = np.full((len(images), height, width, 3), 114, np.uint8)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    tensor = torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).float() / 255  # stays channels_last
    return tensor, [(image.shape[0], image.shape[1]) for image in images]

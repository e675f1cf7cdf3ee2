"""Any detector as an ONNX graph of which persons are wanted: YOLOX, RTMDet, or boxes, scores and labels by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from pydantic import Field

from detectors.adapters.onnx_outputs import BoxOutputs, Found, read_named, read_yolo
from detectors.suppression import Suppression, select_boxes
from parsing.configs import Count, Share, config
from parsing.errors import InputError
from parsing.geometry import clip_boxes
from parsing.networks.graphs import Graph, open_graph
from parsing.networks.weights import model_facts, weights_file
from parsing.stages import PersonDetector
from parsing.types import Array, Detections, Frame, ModelFacts

Positive = Annotated[float, Field(gt=0)]
GREY = 114  # what YOLOX and RTMDet pad with


@config
class PictureInput:
    """How a picture becomes the input of a graph.

    Args:
        resize: `letterbox` keeps the sides' ratio and fills right and below with grey, `stretch` does not.
        mean, std: what colours (0 to 255) are normalised with, in the graph's order of colours.
        bgr: the graph was trained on OpenCV's order of colours.
    """

    resize: Literal["letterbox", "stretch"] = "letterbox"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    bgr: bool = False


INPUTS = {
    "yolox": PictureInput(bgr=True),
    "rtmdet": PictureInput(mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395), bgr=True),
    "boxes": PictureInput("stretch", std=(255.0, 255.0, 255.0)),
}


@config
class OnnxPersonsConfig:
    """A detector as an ONNX graph.

    Args:
        layout: `yolox` and `rtmdet`, with or without suppression inside of the graph; `boxes` are any outputs, by `outputs`.
        outputs: of `boxes`: which outputs hold what.
        input: None takes what the layout's networks were trained with; for `boxes` RT-DETR's and D-FINE's, stretched and in [0, 1].
        person_class: number of the class `person`.
        suppression: not used where the graph suppresses itself, or needs none.
        input_px: longer side of the input where the graph takes any.
    """

    name: Literal["onnx"]
    weights: str
    layout: Literal["yolox", "rtmdet", "boxes"]
    outputs: BoxOutputs | None = None
    input: PictureInput | None = None
    person_class: Annotated[int, Field(ge=0, le=100_000)] = 0
    score_threshold: Share = 0.3
    suppression: Suppression = field(default_factory=Suppression)
    max_persons: Count = 50
    input_px: Annotated[int, Field(ge=64, le=4096)] = 640

    def __post_init__(self) -> None:
        if (self.outputs is None) == (self.layout == "boxes"):
            raise ValueError(f"layout {self.layout} {'needs' if self.outputs is None else 'knows its'} outputs")

    def build(self, device: str) -> PersonDetector:  # noqa: ARG002  # these graphs run on the CPU
        return OnnxPersons(
            open_graph(weights_file(self.weights)),
            self.outputs,
            self.input or INPUTS[self.layout],
            self.person_class,
            self.score_threshold,
            self.suppression,
            self.max_persons,
            self.input_px,
            facts=model_facts("person_detector", self, self.weights),
        )


class OnnxPersons:
    """Persons of whole frames, best first.

    Args:
        outputs: which outputs hold what; None reads what YOLOX and RTMDet give.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: BoxOutputs | None,
        picture: PictureInput,
        person_class: int,
        score_threshold: float,
        suppression: Suppression,
        max_persons: int,
        input_px: int = 640,
        facts: ModelFacts = ModelFacts("person_detector", "onnx", None, "{}"),
    ) -> None:
        self.graph, self.outputs, self.picture, self.person_class, self.facts = graph, outputs, picture, person_class, facts
        self.threshold, self.suppression, self.max_persons = np.array([score_threshold], np.float32), suppression, max_persons
        shape = graph.inputs[0].shape
        if len(shape) != 4 or shape[0] > 1 or shape[1] not in (0, 3) or not self._takes_sizes_at_most():
            raise InputError(f"{graph.path}: inputs {[one.shape for one in graph.inputs]}, expected one picture (1, 3, H, W)")
        self.input_hw = shape[2] or input_px, shape[3] or input_px
        if outputs is not None:
            outputs.check(graph)
        self.mean, self.std = np.array(picture.mean, np.float32), np.array(picture.std, np.float32)

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._of_frame(frame) for frame in frames]

    def _takes_sizes_at_most(self) -> bool:
        """Whether beside its picture the graph wants nothing, or the picture's size as two whole numbers (RT-DETR, D-FINE)."""
        others = self.graph.inputs[1:]
        return not others or (len(others) == 1 and others[0].shape in ((1, 2), (0, 2)) and others[0].dtype.kind == "i")

    def _of_frame(self, frame: Frame) -> Detections:
        tensor, scale_xy = self._tensor(frame.image)
        sizes = [np.array([self.input_hw[::-1]], one.dtype) for one in self.graph.inputs[1:]]
        found = self._read(self.graph(tensor, *sizes))
        scores = found.scores_of(self.person_class, self.graph.path)
        boxes = (found.xyxy / np.tile(scale_xy, 2)).astype(np.float32)
        if not np.isfinite(boxes[scores > self.threshold]).all():
            raise InputError(f"{self.graph.path}: gives boxes that are not finite; YOLOX is read as exported without decode_in_inference")
        view = torch.from_numpy(boxes), torch.from_numpy(scores.astype(np.float32))[:, None]
        suppression = replace(self.suppression, method="nms", iou=1.0) if found.suppressed else self.suppression
        boxes, scores, classes = select_boxes([view], self.threshold, suppression, self.max_persons, frame.image_hw)
        return Detections(clip_boxes(boxes, frame.image_hw), scores, classes)

    def _read(self, values: Sequence[Array]) -> Found:
        if self.outputs is None:
            return read_yolo(values, self.input_hw, self.graph.path)
        return read_named(dict(zip(self.graph.output_names, values, strict=True)), self.outputs, self.input_hw, self.graph.path)

    def _tensor(self, image: Array) -> tuple[Array, Array]:
        """(1, 3, H, W) of the graph's kind, and pixels of the input for each of the image's, across and down."""
        size = np.array(self.input_hw[::-1])
        scale = size / (image.shape[1], image.shape[0])
        if self.picture.resize == "letterbox":
            scale = np.full(2, scale.min())
        width, height = np.maximum(1, np.array([image.shape[1], image.shape[0]]) * scale + 1e-6).astype(int)
        pixels = np.full((*self.input_hw, 3), GREY, np.float32)
        pixels[:height, :width] = cv2.resize(image, (int(width), int(height)), interpolation=cv2.INTER_LINEAR)
        ordered = pixels[..., ::-1] if self.picture.bgr else pixels
        tensor = ((ordered - self.mean) / self.std).transpose(2, 0, 1)[None]
        return np.ascontiguousarray(tensor, self.graph.inputs[0].dtype), scale

"""Any top-down pose network as an ONNX (or TFLite) graph: MoveNet, RTMPose, RTMW, HRNet, ViTPose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.errors import InputError
from parsing.geometry import window_pixels
from parsing.keypoints import COCO_NAMES, LAYOUTS, counts_text
from parsing.networks.graphs import Graph, open_graph
from parsing.networks.weights import model_facts, weights_file
from parsing.stages import PoseEstimator
from parsing.types import Array, Detections, Frame, ModelFacts, Poses

Colour = tuple[float, float, float]
# Context, border, mean and std of the crops that networks see: MoveNet's, and those of mmpose and ViTPose.
RAW = (1.05, 114, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
MMPOSE = (1.25, 0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@config
class OnnxPoseConfig:
    """A pose graph on disk. What is None follows the form of its outputs: coordinates are MoveNet's, all others mmpose's.

    Args:
        weights: `.onnx` or `.tflite`; one image of fixed size in, and out come coordinates (…, 17, 3) as y, x, score in
            [0, 1] (MoveNet), heatmaps (1, K, h, w), or two SimCC vectors (1, K, n) for x and y (RTMPose, RTMW). K is
            17 (COCO), 26 (Halpe) or 133 (COCO-WholeBody).
        context: the crop has the sides' ratio of the input and holds the person's box, widened by this.
        mean, std: what colours (0 to 255) are normalised with.
        bgr: the graph was trained on OpenCV's order of colours.
    """

    name: Literal["onnx"]
    weights: str
    context: Annotated[float, Field(gt=0, le=10)] | None = None
    mean: Colour | None = None
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    bgr: bool = False

    def build(self, device: str) -> PoseEstimator:  # noqa: ARG002  # these graphs run on the CPU
        return OnnxPose(
            open_graph(weights_file(self.weights)),
            self.context,
            self.mean,
            self.std,
            self.bgr,
            facts=model_facts("pose", self, self.weights),
        )


class OnnxPose:
    """Top-down: every person is cropped, and the graph gives the keypoints."""

    def __init__(
        self,
        graph: Graph,
        context: float | None = None,
        mean: Colour | None = None,
        std: Colour | None = None,
        bgr: bool = False,
        facts: ModelFacts = ModelFacts("pose", "onnx", None, "{}"),
    ) -> None:
        self.graph, self.bgr, self.facts = graph, bgr, facts
        shape = graph.inputs[0].shape
        self.channels_last = len(shape) == 4 and shape[3] == 3
        height, width = shape[1:3] if self.channels_last else shape[2:4] if len(shape) == 4 else (0, 0)
        if min(height, width) < 1 or shape[0] > 1 or len(graph.inputs) > 1:
            raise InputError(f"{graph.path}: inputs {[one.shape for one in graph.inputs]}, expected one image of fixed size")
        self.input_hw = height, width
        outputs = graph(self._tensor(np.zeros((height, width, 3), np.float32)))
        self.read = reader_of(outputs, self.input_hw, graph.path)
        defaults = RAW if self.read is read_coordinates else MMPOSE
        self.context, self.border = context or defaults[0], defaults[1]
        self.mean, self.std = np.array(mean or defaults[2], np.float32), np.array(std or defaults[3], np.float32)
        self.num_joints = len(self.read(outputs, self.input_hw))

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        return [Poses(self._of_frame(frame, found.xyxy)) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, frame: Frame, boxes: Array) -> Array:
        found = [self._of_person(frame.image, box) for box in boxes]
        return np.stack(found) if found else np.zeros((0, self.num_joints, 3), np.float32)

    def _of_person(self, image: Array, box: Array) -> Array:
        """(K, 3) x, y in pixels of the image, and score."""
        height, width = self.input_hw
        scale = 1 / (self.context * max((box[2] - box[0]) / width, (box[3] - box[1]) / height, 2 / max(height, width)))
        corner = (box[:2] + box[2:] - np.array([width, height]) / scale) / 2
        pixels = window_pixels(image, (float(corner[0]), float(corner[1])), float(scale), self.input_hw, self.border)
        ordered = pixels[..., ::-1] if self.bgr else pixels
        points = self.read(self.graph(self._tensor((ordered - self.mean) / self.std)), self.input_hw)
        points[:, :2] = points[:, :2] / scale + corner
        return points

    def _tensor(self, pixels: Array) -> Array:
        """One picture (H, W, 3) in the layout and the kind of numbers that the graph takes."""
        return np.ascontiguousarray(pixels if self.channels_last else pixels.transpose(2, 0, 1), self.graph.inputs[0].dtype)[None]


Outputs = Sequence[Array]
Reader = Callable[[Outputs, tuple[int, int]], Array]  # (K, 3) x, y in pixels of the input, and score in [0, 1]


def reader_of(outputs: Outputs, input_hw: tuple[int, int], path: Path) -> Reader:
    """How keypoints are read from outputs of one of the three usual forms.

    Raises:
        InputError: the outputs have none of these forms, or no layout has as many keypoints.
    """
    shapes = [value.shape for value in outputs]
    if len(shapes) == 1 and outputs[0].size == len(COCO_NAMES) * 3 and shapes[0][-1] == 3:
        return read_coordinates
    if all(len(shape) > 2 and shape[0] == 1 and shape[1] in LAYOUTS for shape in shapes):
        if len(shapes) == 1 and len(shapes[0]) == 4:
            return read_heatmaps
        # The vectors have as many bins a pixel, so x and y cannot be mistaken for each other.
        if [len(shape) for shape in shapes] == [3, 3] and shapes[0][2] * input_hw[0] == shapes[1][2] * input_hw[1]:
            return read_simcc
    raise InputError(
        f"{path}: outputs {shapes}; expected (…, 17, 3) coordinates, (1, K, h, w) heatmaps, or the two SimCC vectors (1, K, n) of x and y, "
        f"with K one of {counts_text()}"
    )


def read_coordinates(outputs: Outputs, input_hw: tuple[int, int]) -> Array:
    """y, x and score as shares, MoveNet's."""
    y, x, score = outputs[0].reshape(-1, 3).T
    return np.stack([x * input_hw[1], y * input_hw[0], score.clip(0, 1)], 1).astype(np.float32)


def read_heatmaps(outputs: Outputs, input_hw: tuple[int, int]) -> Array:
    """The middle of each map's brightest cell."""
    maps = outputs[0][0]
    flat = maps.reshape(len(maps), -1)
    y, x = np.divmod(flat.argmax(1), maps.shape[2])
    x, y = (x + 0.5) * input_hw[1] / maps.shape[2], (y + 0.5) * input_hw[0] / maps.shape[1]
    return np.stack([x, y, flat.max(1).clip(0, 1)], 1).astype(np.float32)


def read_simcc(outputs: Outputs, input_hw: tuple[int, int]) -> Array:
    """The best bins of x and of y, scored as the worse of both (SimCC, Li et al., ECCV 2022; RTMPose, Jiang et al., 2023)."""
    across, down = outputs[0][0], outputs[1][0]
    x, y = across.argmax(1) * input_hw[1] / across.shape[1], down.argmax(1) * input_hw[0] / down.shape[1]
    return np.stack([x, y, np.minimum(across.max(1), down.max(1)).clip(0, 1)], 1).astype(np.float32)

"""Any single-person pose network with 17 COCO keypoints, as an ONNX (or TFLite) graph, through OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.geometry import Crop
from parsing.networks.weights import model_facts
from parsing.types import Array, Detections, Frame, ModelFacts, Poses

NUM_JOINTS = 17
SUFFIXES = (".onnx", ".tflite")


@config
class OnnxPoseConfig:
    """A pose graph on disk.

    Args:
        weights: `.onnx` or `.tflite`; one image in, and out come coordinates (…, 17, 3) as y, x, score in [0, 1]
            (MoveNet), heatmaps (1, 17, h, w), or two SimCC vectors (1, 17, n) for x and y (RTMPose).
        context: side of the square crop over the longer side of the person's box.
        mean, std: what colours (0 to 255) are normalised with; 0 and 1 leave them.
        bgr: the graph was trained on OpenCV's order of colours.
    """

    name: Literal["onnx"]
    weights: str
    context: Annotated[float, Field(gt=0, le=10)] = 1.05
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False

    def build(self, device: str) -> OnnxPose:  # noqa: ARG002  # OpenVINO runs these small graphs on the CPU
        return OnnxPose(Path(self.weights), self.context, self.mean, self.std, self.bgr, facts=model_facts("pose", self, self.weights))


class OnnxPose:
    """Top-down: every person is cropped to a square, and the graph gives its 17 keypoints."""

    def __init__(
        self,
        path: Path,
        context: float,
        mean: tuple[float, ...] = (0.0,) * 3,
        std: tuple[float, ...] = (1.0,) * 3,
        bgr: bool = False,
        facts: ModelFacts = ModelFacts("pose", "onnx", None, "{}"),
    ) -> None:
        self.facts = facts
        openvino = import_extra("openvino", "openvino")
        self.path, self.context, self.bgr = path, context, bgr
        if not path.is_file() or path.suffix not in SUFFIXES:
            raise InputError(f"{path}: pose graph not found; expected a file that ends in {', '.join(SUFFIXES)}")
        try:
            model = openvino.Core().read_model(path)
            shape = [side.get_length() if side.is_static else 0 for side in model.inputs[0].partial_shape]
        except RuntimeError as error:
            raise InputError(f"{path}: not a readable ONNX or TFLite graph ({str(error).strip().splitlines()[-1]})") from None
        self.channels_last = len(shape) == 4 and shape[3] == 3
        height, width = shape[1:3] if self.channels_last else shape[2:4] if len(shape) == 4 else (0, 0)
        if min(height, width) < 1 or shape[0] > 1:
            raise InputError(f"{path}: input {shape}, expected one image of fixed size")
        self.input_hw = height, width
        self.dtype = np.dtype(model.inputs[0].element_type.to_dtype())
        self.mean, self.std = np.array(mean, np.float32), np.array(std, np.float32)
        self._run = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        return [Poses(self._of_frame(frame, found.xyxy)) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, frame: Frame, boxes: Array) -> Array:
        found = [self._of_person(frame, box) for box in boxes]
        return np.stack(found) if found else np.zeros((0, NUM_JOINTS, 3), np.float32)

    def _of_person(self, frame: Frame, box: Array) -> Array:
        """(17, 3) x, y, score; the square crop is stretched to the graph's input."""
        size = max(self.input_hw)
        crop = Crop.around(box, size, self.context)
        pixels = crop.pixels(frame.image)
        top, left = (size - self.input_hw[0]) // 2, (size - self.input_hw[1]) // 2
        pixels = pixels[top : top + self.input_hw[0], left : left + self.input_hw[1]]
        ordered = pixels[..., ::-1] if self.bgr else pixels
        tensor = ((ordered - self.mean) / self.std).astype(self.dtype)[None]
        outputs = list(self._run([tensor if self.channels_last else np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))]).values())
        points = read_keypoints([np.asarray(value) for value in outputs], self.input_hw, self.path)
        points[:, :2] = (points[:, :2] + (left, top)) * (crop.side_px / size) + (crop.left, crop.top)
        return points


def read_keypoints(outputs: list[Any], input_hw: tuple[int, int], path: Path) -> Array:
    """(17, 3) x, y in pixels of the input and score, from any of the three usual forms of output.

    Raises:
        InputError: the outputs have none of these forms.
    """
    height, width = input_hw
    shapes = [value.shape for value in outputs]
    first = outputs[0]
    if len(outputs) == 1 and first.size == NUM_JOINTS * 3 and first.shape[-1] == 3:
        y, x, score = first.reshape(NUM_JOINTS, 3).T
        return np.stack([x * width, y * height, score.clip(0, 1)], 1).astype(np.float32)
    if len(outputs) == 1 and first.ndim == 4 and first.shape[1] == NUM_JOINTS:
        maps = first[0].reshape(NUM_JOINTS, -1)
        y, x = np.divmod(maps.argmax(1), first.shape[3])
        x, y = (x + 0.5) * width / first.shape[3], (y + 0.5) * height / first.shape[2]
        return np.stack([x, y, maps.max(1).clip(0, 1)], 1).astype(np.float32)
    if len(outputs) == 2 and all(shape[:2] == (1, NUM_JOINTS) and len(shape) == 3 for shape in shapes):
        across, down = outputs[0][0], outputs[1][0]
        x, y = across.argmax(1) * width / across.shape[1], down.argmax(1) * height / down.shape[1]
        return np.stack([x, y, np.minimum(across.max(1), down.max(1)).clip(0, 1)], 1).astype(np.float32)
    raise InputError(f"{path}: outputs {shapes}; expected (…, 17, 3) coordinates, (1, 17, h, w) heatmaps or two (1, 17, n) SimCC vectors")

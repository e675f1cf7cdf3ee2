"""MoveNet Thunder, which sees a crop of one person, and MultiPose, which sees a whole picture (Google, Apache-2.0)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.networks.movenet import MOVENET_WIDTHS, from_folded, movenet_trunk
from parsing.networks.openvino_graphs import openvino_core, openvino_model
from parsing.types import Array
from teachers.graphs import HEADS, read_movenet

CELL_PX = 4  # stride of the features that the heads look at
SCALE = 0.007843017578125  # 2 / 255 as the graphs store it, in half precision
SIDES_HW = ((384, 512), (512, 384), (512, 512))  # of what MultiPose sees
MAX_PERSONS, MIN_JOINT = 6, 0.126953125
SHARES = ("center_0", "kpt_heatmap_0")  # heads whose maps are between 0 and 1
GREY = 114


@dataclass(frozen=True)
class Boxes:
    """Boxes (N, 4) xyxy px, scores (N,), keypoints (N, 17, 3) x, y px and score; a detector without joints gives none of these."""

    xyxy: Array
    scores: Array
    keypoints: Array | None = None


class MoveNet(nn.Module):
    """The network of a published graph up to its heads.

    Args:
        path: of the graph, without `.json` and `.bin`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.weights = read_movenet(path)
        width = MOVENET_WIDTHS[path.name.replace("-", "_")]
        self.trunk = movenet_trunk(width, (0, 1, 2, 3, 4))
        self.trunk.load_state_dict(from_folded(self.trunk, self.weights))
        self.heads = [head for head in HEADS if f"{head}.out.weight" in self.weights]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Maps (1, C, H / 4, W / 4) of `HEADS` for a (1, 3, H, W) RGB image, 0 to 255, whose sides are multiples of 32."""
        features = self._features(image * SCALE - 1)
        found = {head: self._conv(self._separable(features, f"{head}.separable"), f"{head}.out") for head in self.heads}
        return tuple(values.sigmoid() if head in SHARES else values for head, values in found.items())

    def compiled(self, image_hw: tuple[int, int]) -> Callable[[Array], list[Array]]:
        """The network on OpenVINO, which is three times as fast: from an (H, W, 3) RGB image to maps (C, H / 4, W / 4)."""
        shape = (1, 3, *image_hw)
        model = openvino_model(self.eval(), (torch.zeros(shape),), [shape])
        run = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda image: [np.array(maps[0]) for maps in run(image.transpose(2, 0, 1)[None].astype(np.float32)).values()]

    def _features(self, x: Tensor) -> Tensor:
        """MoveNet's own feature pyramid: it taps the stages' ends at strides 4, 8 and the first of 16, and what ends the trunk."""
        x = self.trunk.bn1(self.trunk.conv_stem(x))
        taps = []
        for stage in self.trunk.blocks:
            x = stage(x)
            taps.append(x)
        top = self._conv(F.relu6(self._conv(x, "last")), "laterals.3")
        for level in (2, 1, 0):
            larger = F.interpolate(top, scale_factor=2.0, mode="bilinear", align_corners=False)
            top = self._separable(larger + self._conv(taps[level + 1], f"laterals.{level}"), f"smooth.{level}")
        return top

    def _conv(self, x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _separable(self, x: Tensor, name: str) -> Tensor:
        wide = F.conv2d(x, self.weights[f"{name}.depthwise.weight"], padding=1, groups=x.shape[1])
        return F.relu(self._conv(wide, f"{name}.pointwise"))


class Thunder:
    """The joints of the person in the middle of a crop."""

    def __init__(self, models: Path) -> None:
        self.network = MoveNet(models / "movenet-thunder").compiled((256, 256))

    def __call__(self, crop: Array) -> Array:
        """(17, 3) x, y in pixels of a (256, 256, 3) RGB crop, and score."""
        centre, heat, to_joints, offsets = self.network(crop)
        rows, columns = cells = np.indices(heat.shape[1:]).astype(np.float32)
        middle = 1 / (np.hypot(rows - 32, columns - 32) + 1.8)
        y, x = np.unravel_index((centre[0] * middle).argmax(), middle.shape)
        guess = np.array([y, x], np.float32) + to_joints[:, y, x].reshape(17, 2)
        distance = np.sqrt(((cells[None] - guess[:, :, None, None]) ** 2).sum(1)) + 1.8
        return _joints(heat / distance, heat, offsets)


class MultiPose:
    """At most six persons of a picture, with joints."""

    def __init__(self, models: Path) -> None:
        network = MoveNet(models / "movenet-multipose")
        self.networks = {image_hw: network.compiled(image_hw) for image_hw in SIDES_HW}

    def __call__(self, image: Array) -> Boxes:
        """Persons of an (H, W, 3) RGB image, which is scaled to a longer side of 512, but at most doubled."""
        height, width = image.shape[:2]
        scale = min(512 / max(height, width), 2.0)
        size = round(width * scale), round(height * scale)
        wide, tall, square = SIDES_HW
        canvas_hw = wide if size[1] <= wide[0] else tall if size[0] <= tall[1] else square
        canvas = np.full((*canvas_hw, 3), GREY, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        found = self._persons(canvas)
        keypoints = found.keypoints / [scale, scale, 1]
        return Boxes(np.clip(found.xyxy / scale, 0, [width, height, width, height]), found.scores, keypoints)

    def _persons(self, canvas: Array) -> Boxes:
        centre, *maps = self.networks[canvas.shape[:2]](canvas)
        peaks = np.where(np.abs(centre[0] - cv2.dilate(centre[0], np.ones((5, 5), np.uint8))) < 1e-6, centre[0], 0)
        best = np.argsort(-peaks, axis=None, kind="stable")[:MAX_PERSONS]
        persons = [_person(maps, *np.unravel_index(place, peaks.shape), peaks.flat[place]) for place in best]
        return Boxes(*(np.array(values) for values in zip(*persons, strict=True)))


def _person(maps: list[Array], y: int, x: int, centre: float) -> tuple[Array, float, Array]:
    """Box, score and joints of the person at a cell."""
    heat, to_joints, offsets, sizes, box_offsets = maps
    half, middle = np.maximum(sizes[:, y, x], 0) / 2, np.array([y, x]) + box_offsets[:, y, x]
    low, high = (np.clip(corner, 0, heat.shape[1:]) for corner in (middle - half, middle + half))
    box = np.concatenate([low[::-1], high[::-1]]) * CELL_PX
    if (high - low).min() < 1:
        return box, 0.0, np.zeros((17, 3))
    first, last = np.ceil(low).astype(int), np.ceil(high).astype(int)
    inside = slice(first[0], last[0]), slice(first[1], last[1])
    guess = np.array([y, x], np.float32) + to_joints[:, y, x].reshape(17, 2)
    cells = np.indices(heat.shape[1:]).astype(np.float32)
    distance = ((cells[None] - guess[:, :, None, None]) ** 2).sum(1)
    likely = np.zeros_like(heat) - 1
    near = np.exp(-distance / (0.300048828125 * min(heat.shape[1:])))
    likely[:, *inside] = (heat * near)[:, *inside]
    joints = _joints(likely, likely, offsets)
    good = joints[:, 2] > MIN_JOINT
    return box, centre * joints[good, 2].sum() / max(good.sum(), 1), joints


def _joints(likely: Array, scores: Array, offsets: Array) -> Array:
    """(17, 3) x, y px and score where each (17, H, W) map is highest, moved by the offsets (34, H, W) of that cell."""
    joint = np.arange(17)
    rows, columns = np.unravel_index(likely.reshape(17, -1).argmax(1), likely.shape[1:])
    moved = offsets[:, rows, columns].reshape(17, 2, 17)[joint, :, joint]
    return np.stack([(columns + moved[:, 1]) * CELL_PX, (rows + moved[:, 0]) * CELL_PX, scores[joint, rows, columns]], 1)

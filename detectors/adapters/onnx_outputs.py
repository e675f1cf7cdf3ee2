"""What detection graphs give: boxes in pixels of their input, with scores of classes or with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from parsing.configs import config, nearest
from parsing.errors import InputError
from parsing.logits import sigmoid, softmax
from parsing.networks.graphs import Graph
from parsing.types import Array

STRIDES = ((8, 16, 32), (8, 16, 32, 64))  # of the levels that YOLOX and its like predict on


@config
class BoxOutputs:
    """Which outputs of a graph hold what, by their names.

    Args:
        boxes: (1, N, 4).
        scores: (1, N, C) of classes; (1, N) of the labels, or of the only class.
        labels: (1, N), the number of each box's class.
        corners: what the four numbers of a box are: corners, corner and size, or centre and size.
        units: pixels of the input, or shares of its sides.
        activation: what makes scores of the values; `softmax` leaves out the last class, which is nothing (DETR).
        suppressed: the graph suppresses boxes of the same object, or needs no suppression.
    """

    boxes: str
    scores: str
    labels: str | None = None
    corners: Literal["xyxy", "xywh", "cxcywh"] = "xyxy"
    units: Literal["pixels", "shares"] = "pixels"
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    suppressed: bool = True

    def check(self, graph: Graph) -> None:
        """Raises InputError where the graph has no output of such a name."""
        for name in filter(None, (self.boxes, self.scores, self.labels)):
            if name not in graph.output_names:
                raise InputError(f"{graph.path}: no output {name!r:.80}; {nearest(name, graph.output_names)}")


@dataclass(frozen=True)
class Found:
    """Boxes xyxy (N, 4) px of the input; scores (N, C), or (N,) beside labels (N,); whether doubles are suppressed."""

    xyxy: Array
    scores: Array
    labels: Array | None
    suppressed: bool

    def scores_of(self, number: int, path: Path) -> Array:
        """(N,) of one class; 0 for boxes of other labels.

        Raises:
            InputError: there are not so many classes, or a score is not finite.
        """
        if self.labels is None and number >= self.scores.shape[1]:
            raise InputError(f"{path}: scores of {self.scores.shape[1]} classes; expected more than person_class, which is {number}")
        scores = self.scores[:, number] if self.labels is None else self.scores * (self.labels == number)
        if not np.isfinite(scores).all():
            raise InputError(f"{path}: gives scores that are not finite")
        return scores


def read_yolo(values: Sequence[Array], input_hw: tuple[int, int], path: Path) -> Found:
    """What YOLOX and RTMDet give: one raw output (1, A, 5 + C), as YOLOX's own export; boxes and class scores (1, N, 4) and
    (1, N, C); or detections (1, N, 5) and labels (1, N) after suppression, as mmdeploy's export.

    Raises:
        InputError: the outputs are of another form.
    """
    shapes = [value.shape for value in values]
    if len(values) == 1 and len(shapes[0]) == 3 and shapes[0][0] == 1 and shapes[0][2] > 5:
        return _decode_grid(values[0][0].astype(np.float32), input_hw, path)
    if len(values) == 2 and shapes[0] == (1, *shapes[1][1:], 5):
        return Found(values[0][0, :, :4], values[0][0, :, 4], values[1][0], suppressed=True)
    if len(values) == 2 and [len(shape) for shape in shapes] == [3, 3] and shapes[0] == (1, shapes[1][1], 4):
        return Found(values[0][0], values[1][0], None, suppressed=False)
    raise InputError(
        f"{path}: outputs {shapes}; expected one (1, A, 5 + C), boxes (1, N, 4) and scores (1, N, C), or (1, N, 5) and labels (1, N); "
        "others are told by layout: boxes"
    )


def _decode_grid(raw: Array, input_hw: tuple[int, int], path: Path) -> Found:
    """Centres from their cells, sizes from logarithms, scores as objectness times class (YOLOX, Ge et al., 2021)."""
    for strides in STRIDES:
        grids = [np.indices((input_hw[0] // stride, input_hw[1] // stride)).reshape(2, -1).T[:, ::-1] for stride in strides]
        if sum(map(len, grids)) == len(raw):
            break
    else:
        raise InputError(f"{path}: {len(raw)} predictions for an input of {input_hw[0]} x {input_hw[1]}, which are no YOLOX's")
    cells, stride = np.concatenate(grids), np.repeat(strides, list(map(len, grids)))[:, None]
    with np.errstate(over="ignore"):
        centres, sizes = (raw[:, :2] + cells) * stride, np.exp(raw[:, 2:4]) * stride
    return Found(np.concatenate([centres - sizes / 2, centres + sizes / 2], 1), raw[:, 4:5] * raw[:, 5:], None, suppressed=False)


def read_named(values: Mapping[str, Array], outputs: BoxOutputs, input_hw: tuple[int, int], path: Path) -> Found:
    """Boxes and scores of the named outputs.

    Raises:
        InputError: their shapes do not fit each other.
    """
    boxes, scores = values[outputs.boxes], values[outputs.scores]
    labels = None if outputs.labels is None else values[outputs.labels]
    if labels is None and scores.ndim == 2:
        scores = scores[..., None]  # of the one class that there is
    wanted = (*boxes.shape[:2], *scores.shape[2:3]) if labels is None else boxes.shape[:2]
    if boxes.ndim != 3 or boxes.shape[::2] != (1, 4) or scores.shape != wanted or (labels is not None and labels.shape != wanted):
        shapes = ", ".join(str(value.shape) for value in (boxes, scores, labels) if value is not None)
        raise InputError(f"{path}: outputs {shapes}; expected boxes (1, N, 4) and scores (1, N, C), or scores and labels (1, N)")
    corners = _corners(boxes[0].astype(np.float32), outputs.corners)
    if outputs.units == "shares":
        corners = corners * np.tile(input_hw[::-1], 2)
    return Found(
        corners, _activated(scores[0].astype(np.float32), outputs.activation), None if labels is None else labels[0], outputs.suppressed
    )


def _corners(boxes: Array, form: str) -> Array:
    """(N, 4) xyxy."""
    if form == "xyxy":
        return boxes
    first, sizes = boxes[:, :2], boxes[:, 2:]
    low = first if form == "xywh" else first - sizes / 2
    return np.concatenate([low, low + sizes], 1)


def _activated(values: Array, activation: str) -> Array:
    if activation == "none":
        return values
    return sigmoid(values) if activation == "sigmoid" else softmax(values)[..., :-1]

"""Training views for detectors, from annotated images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from detectors.heatmaps import keypoint_heatmaps
from detectors.networks.architectures import Targets
from parsing.datasets.records import ImageRecord, ObjectRecord, true_parts
from parsing.geometry import box_areas, clip_boxes
from parsing.keypoints import COCO_SWAP, coco_keypoints
from parsing.learning.augmentation import flip_view, jitter_colour, view_matrix, warp_boxes, warp_image, warp_points
from parsing.media.images import read_image
from parsing.types import Array

MIN_SIDE_PX = 4.0  # smaller boxes in a view are ignored
MIN_SHARE = 0.35  # of a box that must be left in a view
JOINT_JITTER, JOINT_DROP = 0.012, 0.08  # of the crop's side, and share: a pose estimator is less exact than annotations


@dataclass(frozen=True, eq=False)
class View:
    """A training image (S, S, 3) uint8 RGB (or 3 + 17 with heatmaps) with boxes (M, 4), labels (M,) from 1, ignored regions (K, 4)."""

    image: Array
    boxes: Array
    labels: Array
    ignored: Array


def keep_visible(boxes: Array, labels: Array, size: int) -> tuple[Array, Array, Array]:
    """Clip boxes to a view: those with enough left, their labels, and what is left of the others (to be ignored)."""
    clipped = clip_boxes(boxes, (size, size))
    share = box_areas(clipped) / np.maximum(box_areas(boxes), 1e-6)
    sides = (clipped[:, 2:] - clipped[:, :2]).min(1) if len(clipped) else np.zeros(0)
    good = (share >= MIN_SHARE) & (sides >= MIN_SIDE_PX)
    rest = ~good & (box_areas(clipped) > 0)
    return clipped[good], labels[good], clipped[rest]


class PersonViews:
    """Objects in whole images.

    Args:
        class_names: labels that are learned; other objects are background.
        swap: (C,) the class that each class is in a mirrored view.
        size: side of the views; an image's longer side becomes 0.5 to 1.6 times that.
        mosaic: share of views that are put together from four images.
        rotation_deg: largest turn to either side.
    """

    def __init__(
        self, records: Sequence[ImageRecord], class_names: Sequence[str], swap: Array, size: int, mosaic: float, rotation_deg: float
    ) -> None:
        self.records, self.swap, self.size, self.mosaic, self.rotation_deg = records, swap, size, mosaic, rotation_deg
        self.labels = {name: i for i, name in enumerate(class_names, 1)}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> View:
        index, seed = key
        random = np.random.default_rng(seed)
        if random.random() < self.mosaic:
            others = random.integers(0, len(self.records), 3)
            view = self._mosaic([self._view(self.records[i], self.size // 2, random) for i in (index, *others)])
        else:
            view = self._view(self.records[index], self.size, random)
        return View(jitter_colour(view.image, random), view.boxes, view.labels, view.ignored)

    def _view(self, record: ImageRecord, size: int, random: np.random.Generator) -> View:
        height, width = record.image_hw
        scale = size / max(height, width) * float(np.exp(random.uniform(np.log(0.5), np.log(1.6))))
        # Move the view's middle over what of the image lies outside of the canvas, or the canvas over the image.
        slack = np.abs(np.array([width, height]) - size / scale) / 2
        centre = np.array([width, height]) / 2 + random.uniform(-1, 1, 2) * slack
        matrix = view_matrix(centre, scale, random.uniform(-self.rotation_deg, self.rotation_deg), size)
        image = warp_image(read_image(record.path), matrix, size)
        objects = [item for item in record.objects if item.label in self.labels]
        boxes = warp_boxes(np.array([item.xyxy for item in objects], np.float32).reshape(-1, 4), matrix)
        labels = np.array([self.labels[item.label] for item in objects], np.int64)
        if random.random() < 0.5:
            image, boxes = flip_view(image, boxes)
            labels = self.swap[labels - 1] + 1
        crowd = np.array([item.crowd for item in objects], bool)
        kept, labels, rest = keep_visible(boxes[~crowd], labels[~crowd], size)
        return View(image, kept, labels, np.concatenate([rest, clip_boxes(boxes[crowd], (size, size))]))

    def _mosaic(self, quarters: list[View]) -> View:
        half = self.size // 2
        canvas = np.zeros((self.size, self.size, 3), np.uint8)
        offsets = ((0, 0), (half, 0), (0, half), (half, half))
        for view, (x, y) in zip(quarters, offsets, strict=True):
            canvas[y : y + half, x : x + half] = view.image
        shift = [np.array([x, y, x, y], np.float32) for x, y in offsets]
        boxes = np.concatenate([view.boxes + s for view, s in zip(quarters, shift, strict=True)])
        ignored = np.concatenate([view.ignored + s for view, s in zip(quarters, shift, strict=True)])
        return View(canvas, boxes, np.concatenate([view.labels for view in quarters]), ignored)


class PartViews:
    """Parts in crops of single persons; part boxes by rule follow the turned keypoints and stay tight.

    Args:
        class_names: parts that are learned.
        swap: (P,) the part that each part is in a mirrored crop.
        size: side of the crops.
        context: side of a crop over the longer side of the person's box.
        rotation_deg: largest turn to either side.
        heatmaps: give the keypoints, a little disturbed, as maps after the colours; persons without keypoints have none.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        class_names: tuple[str, ...],
        swap: Array,
        size: int,
        context: float,
        rotation_deg: float,
        heatmaps: bool,
    ) -> None:
        self.class_names = class_names
        self.persons = [(r, p) for r in records for p in r.persons if p.has_parts(class_names) and not p.crowd]
        self.size, self.context, self.rotation_deg, self.heatmaps = size, context, rotation_deg, heatmaps
        self.swap = swap

    def __len__(self) -> int:
        return len(self.persons)

    def __getitem__(self, key: tuple[int, int]) -> View:
        index, seed = key
        record, person = self.persons[index]
        random = np.random.default_rng(seed)
        sides = person.xyxy[2:] - person.xyxy[:2]
        side = float(max(sides)) * self.context * random.uniform(0.8, 1.35)
        centre = (person.xyxy[:2] + person.xyxy[2:]) / 2 + random.uniform(-0.1, 0.1, 2) * sides
        matrix = view_matrix(centre, self.size / side, random.uniform(-self.rotation_deg, self.rotation_deg), self.size)
        image = warp_image(read_image(record.path), matrix, self.size)
        turned = warp_object(person, matrix)
        boxes, known, ignored = true_parts(turned, self.class_names)
        labels = np.arange(1, len(self.class_names) + 1)
        flip = random.random() < 0.5
        if flip:
            image, boxes = flip_view(image, boxes)
            labels = labels[self.swap]
        shown, names, rest = keep_visible(boxes[known], labels[known], self.size)
        image = jitter_colour(image, random)
        if self.heatmaps:
            image = np.concatenate([image, self._maps(turned, flip, random)], 2)
        return View(image, shown, names, np.concatenate([rest, clip_boxes(boxes[ignored], (self.size, self.size))]))

    def _maps(self, person: ObjectRecord, flip: bool, random: np.random.Generator) -> Array:
        if person.best_keypoints is None:
            return np.zeros((self.size, self.size, 17), np.uint8)
        points = np.array(coco_keypoints(person.best_keypoints), np.float32)
        if flip:
            points[:, 0] = self.size - points[:, 0]
            points = points[list(COCO_SWAP)]
        points[:, :2] += random.normal(0, JOINT_JITTER * self.size, (17, 2))
        points[random.random(17) < JOINT_DROP, 2] = 0
        return keypoint_heatmaps(points, self.size)


def warp_object(person: ObjectRecord, matrix: Array) -> ObjectRecord:
    """A person after a similarity map: box, keypoints and given parts moved."""

    def moved(points: Array | None) -> Array | None:
        return None if points is None else np.concatenate([warp_points(points[:, :2], matrix), points[:, 2:]], 1)

    boxes = warp_boxes(np.stack([person.xyxy, *(part.xyxy for part in person.parts)]), matrix)
    parts = tuple(replace(part, xyxy=box) for part, box in zip(person.parts, boxes[1:], strict=True))
    return replace(person, xyxy=boxes[0], keypoints17=moved(person.keypoints17), keypoints33=moved(person.keypoints33), parts=parts)


def collate(views: list[View]) -> tuple[Tensor, list[Targets]]:
    """A batch: images (B, 3 or 20, S, S) uint8 and their targets."""
    images = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
    targets = [Targets(torch.from_numpy(v.boxes), torch.from_numpy(v.labels), torch.from_numpy(v.ignored)) for v in views]
    return images, targets

"""Training views and evaluation items for detectors, from COCO records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detectors.cascade_rcnn import Targets
from parsing.augment import flip_view, jitter_colour, read_image, view_matrix, warp_boxes, warp_image, warp_points
from parsing.coco import ImageRecord
from parsing.geometry import box_areas, clip_boxes
from parsing.pose import part_boxes
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, flip_permutation

MIN_SIDE_PX = 4.0  # smaller boxes in a view are ignored
MIN_SHARE = 0.35  # of a box that must be left in a view


@dataclass(frozen=True, eq=False)
class View:
    """A training image (S, S, 3) uint8 RGB with boxes (M, 4), labels (M,) from 1, ignored regions (K, 4)."""

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
    """Persons in whole images.

    Args:
        size: side of the views; an image's longer side becomes 0.5 to 1.6 times that.
        mosaic: share of views that are put together from four images.
        rotation_deg: largest turn to either side.
    """

    def __init__(self, records: Sequence[ImageRecord], size: int, mosaic: float, rotation_deg: float) -> None:
        self.records, self.size, self.mosaic, self.rotation_deg = records, size, mosaic, rotation_deg

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
        boxes = warp_boxes(np.array([p.xyxy for p in record.persons], np.float32).reshape(-1, 4), matrix)
        if random.random() < 0.5:
            image, boxes = flip_view(image, boxes)
        crowd = np.array([p.crowd for p in record.persons], bool)
        kept, labels, rest = keep_visible(boxes[~crowd], np.ones(int((~crowd).sum()), np.int64), size)
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
    """Ten parts in crops of single persons with keypoints; part boxes follow the turned keypoints and stay tight.

    Args:
        size: side of the crops.
        context: side of a crop over the longer side of the person's box.
        rotation_deg: largest turn to either side.
    """

    def __init__(self, records: Sequence[ImageRecord], size: int, context: float, rotation_deg: float) -> None:
        self.persons = [(r, p) for r in records for p in r.persons if p.best_keypoints is not None]
        self.size, self.context, self.rotation_deg = size, context, rotation_deg
        self._swap = flip_permutation(PART_NAMES)

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
        keypoints = person.best_keypoints
        assert keypoints is not None  # only such persons are listed
        turned = np.concatenate([warp_points(keypoints[:, :2], matrix), keypoints[:, 2:]], 1)
        boxes, visible = part_boxes(turned, warp_boxes(person.xyxy[None], matrix)[0])
        labels = np.arange(1, len(PART_NAMES) + 1)
        if random.random() < 0.5:
            image, boxes = flip_view(image, boxes)
            labels = labels[self._swap]
        boxes, labels, rest = keep_visible(boxes[visible].astype(np.float32), labels[visible], self.size)
        return View(jitter_colour(image, random), boxes, labels, rest)


def collate(views: list[View]) -> tuple[Tensor, list[Targets]]:
    """A batch: images (B, 3, S, S) uint8 and their targets."""
    images = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
    targets = [Targets(torch.from_numpy(v.boxes), torch.from_numpy(v.labels), torch.from_numpy(v.ignored)) for v in views]
    return images, targets

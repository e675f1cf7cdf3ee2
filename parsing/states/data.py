"""Training crops of persons with part boxes and states, derived from keypoints by the pose rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from parsing.augment import flip_view, jitter_colour, read_image, view_matrix, warp_boxes, warp_image
from parsing.geometry import Crop
from parsing.pose import part_boxes, part_states
from parsing.records import ImageRecord
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, flip_permutation

SWAP = flip_permutation(PART_NAMES)
BOX_JITTER = 0.08  # of a part box's sides, standard deviation
PART_DROP = 0.05


@dataclass(frozen=True, eq=False)
class StateSample:
    """One person: where its image lies, its box, its part boxes (P, 4), visible (P,), states and known (P, S).

    `action` is the id of what is done in the image, -1 where that is not known.
    """

    path: Path
    source: str
    person_xyxy: Array
    boxes: Array
    visible: Array
    holds: Array
    known: Array
    action: int


class StateBatch(NamedTuple):
    """Crops (B, 3, S, S) uint8 with boxes (B, P, 4) px of the crop, visible (B, P), holds and known (B, P, S), actions (B,)."""

    crops: Tensor
    boxes: Tensor
    visible: Tensor
    holds: Tensor
    known: Tensor
    actions: Tensor

    def to(self, device: torch.device | str) -> StateBatch:
        return StateBatch(*(column.to(device) for column in self))


def state_samples(records: Sequence[ImageRecord], actions: Sequence[str]) -> list[StateSample]:
    """Every person with keypoints; states are known only on parts whose box is."""
    samples = []
    for record in records:
        action = actions.index(record.action) if record.action in actions else -1
        for person in record.persons:
            keypoints = person.best_keypoints
            if keypoints is None:
                continue
            boxes, visible = part_boxes(keypoints, person.xyxy)
            holds, known = part_states(keypoints, person.xyxy)
            known = known & visible[:, None]
            samples.append(StateSample(record.path, record.source, person.xyxy, boxes, visible, holds, known, action))
    return samples


def rare_state_weights(samples: Sequence[StateSample], strongest: float = 6.0) -> list[float]:
    """How often to draw each person: the square root of its rarest state's inverse frequency (the report resamples too)."""
    holds = np.stack([sample.holds & sample.known for sample in samples])
    frequency = np.maximum(holds.mean(0), 1 / len(samples))
    rarity = np.where(holds, frequency**-0.5, 1.0).max((1, 2))
    return [float(value) for value in np.minimum(rarity, strongest)]


# Pixels, boxes, visible, holds, known, action.
StateItem = tuple[Array, Array, Array, Array, Array, int]


class StateCrops:
    """Random crops for training: window, turn, flip with sides swapped, colour, and jittered part boxes."""

    def __init__(self, samples: Sequence[StateSample], size: int, context: float, rotation_deg: float = 15.0) -> None:
        self.samples, self.size, self.context, self.rotation_deg = samples, size, context, rotation_deg

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> StateItem:
        index, seed = key
        sample = self.samples[index]
        random = np.random.default_rng(seed)
        sides = sample.person_xyxy[2:] - sample.person_xyxy[:2]
        centre = (sample.person_xyxy[:2] + sample.person_xyxy[2:]) / 2 + random.uniform(-0.06, 0.06, 2) * sides
        # The report scales to 256 and crops 224, about this range of windows.
        window = float(max(sides)) * self.context * random.uniform(0.92, 1.25)
        matrix = view_matrix(centre, self.size / window, random.uniform(-1, 1) * self.rotation_deg, self.size)
        pixels, boxes = warp_image(read_image(sample.path), matrix, self.size), _jitter(warp_boxes(sample.boxes, matrix), random)
        visible = sample.visible & (random.random(len(PART_NAMES)) >= PART_DROP)
        holds, known = sample.holds, sample.known & visible[:, None]
        if random.random() < 0.5:
            pixels, boxes = flip_view(pixels, boxes)
            boxes, visible, holds, known = boxes[SWAP], visible[SWAP], holds[SWAP], known[SWAP]
        return jitter_colour(pixels, random), boxes.astype(np.float32) * visible[:, None], visible, holds, known, sample.action


class PlainCrops:
    """The crops that the stage would make, for evaluation; index by position."""

    def __init__(self, samples: Sequence[StateSample], size: int, context: float) -> None:
        self.samples, self.size, self.context = samples, size, context

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> StateItem:
        sample = self.samples[index]
        crop = Crop.around(sample.person_xyxy, self.size, self.context)
        return crop.pixels(read_image(sample.path)), crop.to_crop(sample.boxes), sample.visible, sample.holds, sample.known, sample.action


def collate(items: Sequence[StateItem]) -> StateBatch:
    crops, boxes, visible, holds, known, actions = (np.stack(column) for column in zip(*items, strict=True))
    as_tensors = (torch.from_numpy(column) for column in (boxes.astype(np.float32), visible, holds, known, actions))
    return StateBatch(torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2), *as_tensors)


def _jitter(boxes: Array, random: np.random.Generator) -> Array:
    """Boxes as a detector would give them: moved and scaled a little."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + random.normal(0, BOX_JITTER, boxes.shape) * sides)

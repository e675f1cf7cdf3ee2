"""Persons with part boxes and states as columns, and the crops that the part-state network is trained and evaluated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from parsing.geometry import Crop
from parsing.learning.augmentation import flip_view, jitter_colour, view_matrix, warp_boxes, warp_image
from parsing.learning.rarity import as_draws, rarity
from parsing.media.images import read_image
from parsing.types import Array, Detections, Parts

BOX_JITTER = 0.08  # of a part box's sides, standard deviation
PART_DROP = 0.05
RESIZE = 256 / 224  # the report scales to 256 and crops 224


@dataclass(frozen=True, eq=False)
class StateTable:
    """N persons.

    Args:
        paths: of their images.
        sources, videos: where each comes from; images that are no video's are videos of their own.
        frames: (N,) 0-based index of the frame in its video.
        person_xyxy: (N, 4) px. boxes: (N, P, 4) px, zeros where not visible. visible: (N, P).
        holds, known: (N, P, S) whether a state holds, and whether that is known.
        actions: (N,) ids, -1 where unknown.
        predicted: (N, A) what a recognizer predicts for the video; zeros where nothing is known of that.
    """

    paths: Sequence[Path]
    sources: Array
    videos: Array
    frames: Array
    person_xyxy: Array
    boxes: Array
    visible: Array
    holds: Array
    known: Array
    actions: Array
    predicted: Array

    def __len__(self) -> int:
        return len(self.person_xyxy)

    @property
    def frequency(self) -> Tensor:
        """(P, S) share of the persons of which a state holds, among those of which it is known."""
        return torch.as_tensor((self.holds & self.known).sum(0) / np.maximum(self.known.sum(0), 1), dtype=torch.float32)

    def select(self, index: Array) -> StateTable:
        """The rows that integers or a mask over N name."""
        rows = np.arange(len(self))[index]
        return StateTable(
            [self.paths[i] for i in rows], *(getattr(self, name)[rows] for name in list(self.__dataclass_fields__)[1:])
        )  # fmt: skip

    @classmethod
    def join(cls, tables: Sequence[StateTable]) -> StateTable:
        """All rows of several tables with the same parts and states."""
        columns = (np.concatenate([getattr(table, name) for table in tables]) for name in list(cls.__dataclass_fields__)[1:])
        return cls([path for table in tables for path in table.paths], *columns)

    def stage_inputs(self, rows: Array, track_ids: Array | None = None) -> tuple[Detections, Parts]:
        """The persons of some rows and their true parts, as the stages of a pipeline give them."""
        persons = Detections(self.person_xyxy[rows], np.ones(len(rows)), np.zeros(len(rows)), track_ids)
        return persons, Parts(self.boxes[rows], self.visible[rows], self.visible[rows])


class StateBatch(NamedTuple):
    """Crops (B, 3, S, S) uint8 with boxes (B, P, 4) px of the crop, visible (B, P), holds and known (B, P, S), actions (B,)
    and predicted (B, A), as in `StateTable`."""

    crops: Tensor
    boxes: Tensor
    visible: Tensor
    holds: Tensor
    known: Tensor
    actions: Tensor
    predicted: Tensor

    def to(self, device: torch.device | str) -> StateBatch:
        return StateBatch(*(column.to(device) for column in self))


def sample_weights(table: StateTable, balance: float, strongest: float = 6.0) -> list[float] | None:
    """How often to draw each person: its rarest state's inverse frequency to the power `balance`; None where all are alike.

    The report resamples to balance the states of each part.
    """
    return as_draws(np.minimum(rarity((table.holds & table.known).reshape(len(table), -1), balance), strongest))


# Pixels, boxes, visible, holds, known, action, predicted actions.
StateItem = tuple[Array, Array, Array, Array, Array, int, Array]


class StateCrops:
    """Random crops for training: scaled to 256/224 of the input and cropped, turned, flipped with sides swapped, colour, jittered boxes.

    Args:
        swap: (P,) the part that each part is in a mirrored crop.
    """

    def __init__(self, table: StateTable, swap: Array, size: int, context: float, rotation_deg: float = 15.0) -> None:
        self.table, self.swap, self.size, self.context, self.rotation_deg = table, swap, size, context, rotation_deg

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> StateItem:
        index, seed = key
        t, random = self.table, np.random.default_rng(seed)
        box = t.person_xyxy[index]
        window = float(max(box[2:] - box[:2])) * self.context
        reach = (1 - 1 / RESIZE) / 2 * window  # the crop's corner is drawn from the margin that scaling leaves
        centre = (box[:2] + box[2:]) / 2 + random.uniform(-reach, reach, 2)
        scale = RESIZE * self.size / window * random.uniform(0.75, 1.05)
        matrix = view_matrix(centre, scale, random.uniform(-1, 1) * self.rotation_deg, self.size)
        pixels, boxes = warp_image(read_image(t.paths[index]), matrix, self.size), _jitter(warp_boxes(t.boxes[index], matrix), random)
        visible = t.visible[index] & (random.random(len(self.swap)) >= PART_DROP)
        holds, known = t.holds[index], t.known[index] & visible[:, None]
        if random.random() < 0.5:
            pixels, boxes = flip_view(pixels, boxes)
            boxes, visible, holds, known = (column[self.swap] for column in (boxes, visible, holds, known))
        placed = boxes.astype(np.float32) * visible[:, None]
        return jitter_colour(pixels, random), placed, visible, holds, known, int(t.actions[index]), t.predicted[index]


class PlainCrops:
    """The crops that the stage would make, whatever the seed."""

    def __init__(self, table: StateTable, size: int, context: float) -> None:
        self.table, self.size, self.context = table, size, context

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> StateItem:
        i, t = key[0], self.table
        crop = Crop.around(t.person_xyxy[i], self.size, self.context)
        boxes = crop.to_crop(t.boxes[i]) * t.visible[i][:, None]
        return crop.pixels(read_image(t.paths[i])), boxes, t.visible[i], t.holds[i], t.known[i], int(t.actions[i]), t.predicted[i]


def collate(items: Sequence[StateItem]) -> StateBatch:
    crops, boxes, *columns = (np.stack(column) for column in zip(*items, strict=True))
    as_tensors = (torch.from_numpy(column) for column in (boxes.astype(np.float32), *columns))
    return StateBatch(torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2), *as_tensors)


def _jitter(boxes: Array, random: np.random.Generator) -> Array:
    """Boxes as a detector would give them: moved and scaled a little."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + random.normal(0, BOX_JITTER, boxes.shape) * sides)

"""Persons with part boxes and states as columns, and the crops that the part-state network is trained and evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from parsing.datasets.records import ObjectRecord, true_states
from parsing.geometry import Crop
from parsing.learning.augmentation import flip_view, jitter_colour, view_matrix, warp_boxes, warp_image, warp_points
from parsing.learning.rarity import as_draws, rarity
from parsing.media.images import read_image
from parsing.types import Array, Detections, Parts
from parsing.vocabulary import Vocabulary

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
        poses: (N,) the annotations of persons all of whose states follow from keypoints, None for others.
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
    poses: Array = None  # type: ignore[assignment]  # never None once it is made

    def __post_init__(self) -> None:
        if self.poses is None:
            object.__setattr__(self, "poses", np.full(len(self), None))

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


def sample_weights(
    table: StateTable, balance: float, of_sources: Mapping[str, float] | None = None, strongest: float = 6.0
) -> list[float] | None:
    """How often to draw each person: its rarest state's inverse frequency to the power `balance`; None where all are alike.

    The report resamples to balance the states of each part.

    Args:
        of_sources: factors on the draws of the persons of a source; 1 where it is not named.
    """
    weights = np.minimum(rarity((table.holds & table.known).reshape(len(table), -1), balance), strongest)
    for source, weight in (of_sources or {}).items():
        weights = np.where(table.sources == source, weights * weight, weights)
    return as_draws(weights)


# Pixels, boxes, visible, holds, known, action, predicted actions.
StateItem = tuple[Array, Array, Array, Array, Array, int, Array]


class StateCrops:
    """Random crops for training: scaled to 256/224 of the input and cropped, turned, flipped with sides swapped, colour, jittered boxes.

    Args:
        vocabulary: of the table's states.
        rotation_deg: of the turns, at most.
        pose_rotation_deg: of the turns of persons whose states follow from keypoints, and are told anew from the turned ones.
        margin: of the rules for these, see `parsing.pose.part_states`.
    """

    def __init__(
        self, table: StateTable, vocabulary: Vocabulary, size: int, context: float,
        rotation_deg: float = 15.0, pose_rotation_deg: float = 15.0, margin: float = 0.0,
    ) -> None:  # fmt: skip
        self.table, self.vocabulary, self.size, self.context = table, vocabulary, size, context
        self.rotation_deg, self.pose_rotation_deg, self.margin = rotation_deg, pose_rotation_deg, margin
        self.swap = vocabulary.swap

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> StateItem:
        index, seed = key
        t, random = self.table, np.random.default_rng(seed)
        box, posed = t.person_xyxy[index], t.poses[index] is not None
        window = float(max(box[2:] - box[:2])) * self.context
        reach = (1 - 1 / RESIZE) / 2 * window  # the crop's corner is drawn from the margin that scaling leaves
        centre = (box[:2] + box[2:]) / 2 + random.uniform(-reach, reach, 2)
        scale = RESIZE * self.size / window * random.uniform(0.75, 1.05)
        matrix = view_matrix(centre, scale, random.uniform(-1, 1) * (self.pose_rotation_deg if posed else self.rotation_deg), self.size)
        pixels = warp_image(read_image(t.paths[index]), matrix, self.size)
        boxes = jittered(warp_boxes(t.boxes[index], matrix), random)
        visible = t.visible[index] & (random.random(len(self.swap)) >= PART_DROP)
        holds, known = self._turned_states(index, matrix) if posed else (t.holds[index], t.known[index])
        known = known & visible[:, None]
        if random.random() < 0.5:
            pixels, boxes = flip_view(pixels, boxes)
            boxes, visible, holds, known = (column[self.swap] for column in (boxes, visible, holds, known))
        placed = boxes.astype(np.float32) * visible[:, None]
        return jitter_colour(pixels, random), placed, visible, holds, known, int(t.actions[index]), t.predicted[index]

    def _turned_states(self, index: int, matrix: Array) -> tuple[Array, Array]:
        """States (P, S) that hold, and are known, by the rules: most of them go by what is up in the picture."""
        moved = warped(self.table.poses[index], matrix)
        return true_states(moved, self.vocabulary.parts, self.vocabulary.states, self.margin)


def warped(person: ObjectRecord, matrix: Array) -> ObjectRecord:
    """The keypoints of a person in a view; the box keeps its shape, as only its sides tell anything of the pose."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))

    def moved(points: Array | None) -> Array | None:
        return None if points is None else np.column_stack([warp_points(points[:, :2], matrix), points[:, 2]])

    return ObjectRecord(person.xyxy * scale, moved(person.keypoints17), moved(person.keypoints33))


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


def jittered(boxes: Array, random: np.random.Generator, deviation: float = BOX_JITTER) -> Array:
    """(P, 4) boxes as a detector would give them: moved and scaled a little, by a share of their sides."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + random.normal(0, deviation, boxes.shape) * sides)

"""Windows of part-state scores along annotated tracks, which the temporal head learns from and is measured on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from parsing.recorded.stages import match_boxes
from parsing.states.data import StateTable
from parsing.states.temporal import empty_window, slot_features
from parsing.types import Array

NEIGHBOUR_DROP = 0.15  # tracks lose persons, and videos end
# Features, presence, holds, known.
TemporalItem = tuple[Array, Array, Array, Array]


class Windows:
    """Windows around every annotated person, along tracks that link persons who overlap from frame to frame."""

    def __init__(self, table: StateTable, scores: Array, frames: Array, steps: int, fps: float, most_gap: int) -> None:
        self.table, self.steps, self.times = table, steps, frames / fps
        self.following = link(table, frames, most_gap)
        self.preceding = np.full(len(table), -1)
        linked = np.flatnonzero(self.following >= 0)
        self.preceding[self.following[linked]] = linked
        self.scores = scores

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: int | tuple[int, int]) -> TemporalItem:
        """A window; the trainer's (index, seed) loses neighbours at random."""
        index, random = (key[0], np.random.default_rng(key[1])) if isinstance(key, tuple) else (key, None)
        t = self.table
        _, p, s = self.scores.shape
        features, present = empty_window(1, 2 * self.steps + 1, p, s)
        for slot, row in self._rows(index):
            if slot != self.steps and random is not None and random.random() < NEIGHBOUR_DROP:
                continue
            at = slice(row, row + 1)
            values = self.scores[at], t.person_xyxy[at], t.boxes[at], t.visible[at]
            features[:, slot] = slot_features(*values, self.times[row] - self.times[index])
            present[:, slot] = t.visible[row]
        return features[0], present[0], t.holds[index], t.known[index]

    def _rows(self, index: int) -> list[tuple[int, int]]:
        rows = [(self.steps, index)]
        for direction, links in ((-1, self.preceding), (1, self.following)):
            row = index
            for step in range(1, self.steps + 1):
                row = int(links[row])
                if row < 0:
                    break
                rows.append((self.steps + direction * step, row))
        return rows


def link(table: StateTable, frames: Array, most_gap: int) -> Array:
    """(N,) the row that shows each person in the next annotated frame of its video, -1 for none."""
    following = np.full(len(table), -1)
    for video in np.unique(table.videos):
        rows = np.flatnonzero(table.videos == video)
        numbers = np.unique(frames[rows])
        for now, then in pairwise(numbers):
            if then - now <= most_gap:
                first, second = rows[frames[rows] == now], rows[frames[rows] == then]
                i, j = match_boxes(table.person_xyxy[first], table.person_xyxy[second])
                following[first[i]] = second[j]
    return following


def collate(items: list[TemporalItem]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.stack(column)) for column in zip(*items, strict=True))

"""Windows of part-state scores along annotated tracks, which the temporal head learns from and is measured on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from parsing.recorded.stages import match_boxes
from parsing.stages import Item
from parsing.states.data import StateTable
from parsing.states.temporal import empty_window, slot_features
from parsing.types import Array, Frame, FrameParse, PartStates

NEIGHBOUR_DROP = 0.15  # tracks lose persons, and videos end
# Features, presence, holds, known.
TemporalItem = tuple[Array, Array, Array, Array]


class Windows:
    """Windows around every annotated person, along tracks that link persons who overlap from frame to frame."""

    def __init__(self, table: StateTable, scores: Array, steps: int, window_s: float, fps: float, most_gap: int) -> None:
        self.table, self.steps, self.window_s, self.times = table, steps, window_s, table.frames / fps
        self.following = link(table, most_gap)
        self.preceding = np.full(len(table), -1)
        linked = np.flatnonzero(self.following >= 0)
        self.preceding[self.following[linked]] = linked
        self.scores = scores
        self.track_ids = np.arange(len(table))
        for row in np.argsort(table.frames, kind="stable"):
            if self.following[row] >= 0:
                self.track_ids[self.following[row]] = self.track_ids[row]

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> TemporalItem:
        """A window that loses neighbours at random, by the trainer's (index, seed)."""
        index, random, t = key[0], np.random.default_rng(key[1]), self.table
        _, p, s = self.scores.shape
        features, present = empty_window(1, 2 * self.steps + 1, p, s)
        for slot, row in self._rows(index):
            if slot != self.steps and random.random() < NEIGHBOUR_DROP:
                continue
            at = slice(row, row + 1)
            values = self.scores[at], t.person_xyxy[at], t.boxes[at], t.visible[at]
            features[:, slot] = slot_features(*values, self.times[row] - self.times[index])
            present[:, slot] = t.visible[row]
        return features[0], present[0], t.holds[index], t.known[index]

    def item(self, rows: Array) -> Item:
        """The persons of one frame as the part-state stage gives them to a state filter, which looks at no pixel."""
        t, first = self.table, rows[0]
        persons, parts = t.stage_inputs(rows, self.track_ids[rows])
        frame = Frame(str(t.videos[first]), int(t.frames[first]), float(self.times[first]), np.zeros((1, 1, 3), np.uint8))
        return frame, FrameParse(frame.index, frame.time_s, persons, parts, PartStates(self.scores[rows]))

    def _rows(self, index: int) -> list[tuple[int, int]]:
        rows = [(self.steps, index)]
        for direction, links in ((-1, self.preceding), (1, self.following)):
            row = index
            for step in range(1, self.steps + 1):
                row = int(links[row])
                if row < 0 or abs(self.times[row] - self.times[index]) >= self.window_s:
                    break
                rows.append((self.steps + direction * step, row))
        return rows


def link(table: StateTable, most_gap: int) -> Array:
    """(N,) the row that shows each person in the next annotated frame of its video, -1 for none."""
    following, frames = np.full(len(table), -1), table.frames
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

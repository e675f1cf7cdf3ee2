"""Windows of part-state scores along annotated tracks, which the temporal head learns from and is measured on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from parsing.recorded.stages import match_boxes
from parsing.stages import Item
from parsing.states.data import StateTable, jittered
from parsing.states.observations import Observations
from parsing.types import Array, Frame, FrameParse, PartStates

NEIGHBOUR_DROP = 0.15  # tracks lose persons, and videos end
BOX_JITTER = 0.05  # of a part box's sides, standard deviation: a detector's boxes shake
STILL = 0.15  # share of windows in which the person is made to hold still
HIDDEN = 0.5  # share of windows in which the network's word on states of motion does not count: it knows its training clips by heart
# Features, presence, holds, known.
TemporalItem = tuple[Array, Array, Array, Array]


class Windows:
    """Windows around every annotated person, along tracks that link persons who overlap from frame to frame.

    Args:
        scores: (N, P, S) of the part-state network.
        steps, window_s: of the head. motion: whether it sees how parts move.
        fps: of the videos. most_gap: frames that a person may be missing between two annotated frames of its track.
        motion_states: (S,) bool, the states that hold of none who holds still; None where there are no such states.
    """

    def __init__(
        self, table: StateTable, scores: Array, steps: int, window_s: float, fps: float, most_gap: int,
        *, motion: bool = False, motion_states: Array | None = None,
    ) -> None:  # fmt: skip
        self.table, self.steps, self.window_s, self.times, self.motion = table, steps, window_s, table.frames / fps, motion
        self.motion_states = np.zeros(scores.shape[-1], bool) if motion_states is None else motion_states
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
        """A window by the trainer's (index, seed): it loses neighbours at random, and its boxes shake.

        In some windows the person holds still, of which clips of actions show too little: all slots show what the middle does.
        """
        index, random, t = key[0], np.random.default_rng(key[1]), self.table
        _, p, s = self.scores.shape
        seen, still = Observations.empty(1, 2 * self.steps + 1, p, s), bool(self.motion_states.any()) and random.random() < STILL
        for slot, row in self._rows(index):
            if slot != self.steps and random.random() < NEIGHBOUR_DROP:
                continue
            shown = index if still else row
            boxes = jittered(t.boxes[shown], random, BOX_JITTER if self.motion else 0.0)
            values = self.scores[shown], t.person_xyxy[shown], boxes, t.visible[shown]
            seen.put(np.arange(1), slot, *values, float(self.times[row] - self.times[index]))
        holds, known = t.holds[index], t.known[index]
        if self.motion_states.any() and random.random() < HIDDEN:
            seen.scores[..., self.motion_states] = 0.5
        if still:
            holds, known = holds & ~self.motion_states, known | (self.motion_states & t.visible[index][:, None])
        return seen.features(self.motion)[0], seen.visible[0], holds, known

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

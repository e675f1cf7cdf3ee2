"""What a network sees of a track: parts around their person, and the person in the picture, at even times.

Key frames come at any rate and tracks have gaps, so what was seen is interpolated to a grid in seconds, which velocities and
convolutions over time can rely on. Lengths are in heights of the person, horizontal ones to the right of the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.tracks import Tracklet
from parsing.types import Array

GEOMETRY = 8  # of a part: visible, score, centre, sides, velocity; then its states
PERSON = 13  # present, score, height and centre in the picture, aspect, velocity, growth, distances to the picture's four sides
TOLERANCE_S = 1e-6  # times in files are rounded
FASTEST = 1e4  # of anything, in its unit a second
MOST = 5.0  # length or velocity; what is larger is a false box
_MIRRORED_PART, _MIRRORED_PERSON = (2, 6), (3, 6)  # columns that a mirror turns round
_EDGES = slice(9, 13)  # left, top, right, bottom


@config
class Grid:
    """The times that a network sees a track at.

    Args:
        steps: T, how many.
        step_s: from one to the next.
        most_gap_s: longest time between two key frames that is interpolated; beyond it nothing is known.
    """

    steps: Annotated[int, Field(ge=1, le=512)] = 32
    step_s: Annotated[float, Field(gt=0, le=1)] = 0.08
    most_gap_s: Annotated[float, Field(gt=0, le=10)] = 0.5

    @property
    def length_s(self) -> float:
        return max(1, self.steps - 1) * self.step_s

    def times(self, start_s: float) -> Array:
        """(T,) times of the grid."""
        return start_s + self.step_s * np.arange(self.steps)

    def starts(self, begin_s: float, end_s: float) -> list[float]:
        """Where grids begin that together see all from one time to another, evenly spread; one where one is enough."""
        pieces = max(1, math.ceil((end_s - begin_s) / self.length_s))
        return list(map(float, np.linspace(begin_s, max(begin_s, end_s - self.length_s), pieces)))


@dataclass(frozen=True, eq=False)
class TrackFeatures:
    """One track on a grid: parts (T, P, GEOMETRY + S), person (T, PERSON), zeros where nothing is known."""

    parts: Array
    person: Array

    def mirrored(self, swap: Array) -> TrackFeatures:
        """As in a mirrored picture.

        Args:
            swap: (P,) the part that each part is in a mirror.
        """
        parts, person = self.parts[:, swap].copy(), self.person.copy()
        parts[..., _MIRRORED_PART] *= -1
        person[:, _MIRRORED_PERSON] *= -1
        person[:, _EDGES] = person[:, _EDGES][:, [2, 1, 0, 3]]
        return TrackFeatures(parts, person)


def nothing(grid: Grid, num_parts: int, num_states: int) -> TrackFeatures:
    """Nobody."""
    return TrackFeatures(np.zeros((grid.steps, num_parts, GEOMETRY + num_states), np.float32), np.zeros((grid.steps, PERSON), np.float32))


def track_features(track: Tracklet, grid: Grid, start_s: float) -> TrackFeatures:
    """A track as a network sees it, from a time on."""
    times, found = grid.times(start_s), nothing(grid, *track.states.scores.shape[1:])
    always = np.ones((len(track), 1), bool)
    there, (boxes, scores) = _interpolated(track.times_s, always, times, grid, track.persons.xyxy[:, None], track.persons.scores[:, None])
    present, boxes = there[:, 0], boxes[:, 0]
    if not present.any():
        return found
    height = np.maximum(boxes[:, 3:] - boxes[:, 1:2], 1.0)  # (T, 1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    found.person[:] = _person(boxes, scores, centre, height, present, track.image_hw, grid.step_s)
    columns = track.parts.xyxy, track.parts.scores, track.states.scores
    visible, (parts, certain, states) = _interpolated(track.times_s, track.parts.visible, times, grid, *columns)
    visible = visible & there
    middle = np.clip(((parts[..., :2] + parts[..., 2:]) / 2 - centre[:, None]) / height[:, None], -MOST, MOST)
    sides = np.clip((parts[..., 2:] - parts[..., :2]) / height[:, None], 0, MOST)
    values = [visible[..., None], certain[..., None], middle, sides, _velocity(middle, visible, grid.step_s), states]
    found.parts[:] = np.concatenate(values, -1).clip(-MOST, MOST) * visible[..., None]
    return found


def _person(boxes: Array, scores: Array, centre: Array, height: Array, present: Array, image_hw: tuple[int, int], step_s: float) -> Array:
    """(T, PERSON) of a person's interpolated boxes."""
    size = np.array([image_hw[1], image_hw[0]], float)
    edges = np.clip(np.column_stack([boxes[:, :2], size - boxes[:, 2:]]) / height, 0, 1)
    aspect = np.clip((boxes[:, 2:3] - boxes[:, :1]) / height, 0, MOST)
    # Velocities divide by the height of their time: a person who comes nearer is not faster.
    velocity = np.clip(_velocity(centre, present, step_s) / height, -MOST, MOST)
    growth = np.clip(_velocity(np.log(height), present, step_s), -MOST, MOST)
    values = np.column_stack([present, scores, height / image_hw[0], centre / size - 0.5, aspect, velocity, growth, edges])
    return np.asarray(values * present[:, None], np.float32)


def _interpolated(times_s: Array, seen: Array, wanted_s: Array, grid: Grid, *columns: Array) -> tuple[Array, list[Array]]:
    """Columns (N, P, …) of some times at (T,) others, and (T, P) whether they are known there.

    Between two times that lie near enough values are interpolated; elsewhere those of a time within half a step count.

    Args:
        times_s: (N,) rising.
        seen: (N, P) whether a column says anything.
    """
    number, places = len(times_s), np.arange(len(times_s))[:, None]
    # The last row that is seen up to each one, and the first from it on; -1 and N where there is none.
    last = np.maximum.accumulate(np.where(seen, places, -1))
    first = np.minimum.accumulate(np.where(seen, places, number)[::-1])[::-1]
    after = np.searchsorted(times_s, wanted_s)
    left = np.vstack([np.full((1, seen.shape[1]), -1), last])[after]  # (T, P)
    right = np.vstack([first, np.full((1, seen.shape[1]), number)])[after]
    padded_s = np.concatenate([times_s, [np.inf, -np.inf]])  # at N, and at -1
    to_left, to_right = wanted_s[:, None] - padded_s[left], padded_s[right] - wanted_s[:, None]
    within = to_left + to_right <= grid.most_gap_s + TOLERANCE_S
    known = within | (np.minimum(to_left, to_right) <= grid.step_s / 2 + TOLERANCE_S)
    share = np.where(to_right < to_left, 1.0, 0.0)
    share[within] = to_left[within] / np.maximum(to_left[within] + to_right[within], TOLERANCE_S)
    rows, part = np.array([left, right]).clip(0, number - 1), np.arange(seen.shape[1])
    values = [(column[rows[0], part], column[rows[1], part], share.reshape(*share.shape, *[1] * (column.ndim - 2))) for column in columns]
    return known, [(1 - s) * before + s * behind for before, behind, s in values]


def _velocity(values: Array, known: Array, step_s: float) -> Array:
    """(T, …, D) change a second of values at even times, from the neighbours that are known; zero where there is none.

    Args:
        known: (T, …).
    """
    both = (known[1:] & known[:-1])[..., None]
    change = np.zeros((len(values) + 1, *values.shape[1:]))
    change[1:-1] = np.diff(values, axis=0) / step_s * both
    counts = np.zeros((len(values) + 1, *both.shape[1:]))
    counts[1:-1] = both
    return np.asarray(np.clip((change[1:] + change[:-1]) / np.maximum(counts[1:] + counts[:-1], 1), -FASTEST, FASTEST))

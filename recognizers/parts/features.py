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
    times = grid.times(start_s)
    present, (boxes, scores) = _interpolated(track.times_s, times, grid, track.persons.xyxy, track.persons.scores)
    found = nothing(grid, track.parts.visible.shape[1], track.states.scores.shape[2])
    if not present.any():
        return found
    height = np.maximum(boxes[:, 3:] - boxes[:, 1:2], 1.0)  # (T, 1)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    found.person[:] = _person(boxes, scores, centre, height, present, track.image_hw, grid.step_s)
    for part in range(found.parts.shape[1]):
        seen = np.flatnonzero(track.parts.visible[:, part])
        columns = (track.parts.xyxy[seen, part], track.parts.scores[seen, part], track.states.scores[seen, part])
        visible, (box, score, states) = _interpolated(track.times_s[seen], times, grid, *columns)
        visible = visible & present
        middle = np.clip(((box[:, :2] + box[:, 2:]) / 2 - centre) / height, -MOST, MOST)
        sides = np.clip((box[:, 2:] - box[:, :2]) / height, 0, MOST)
        values = np.column_stack([visible, score, middle, sides, _velocity(middle, visible, grid.step_s), states])
        found.parts[:, part] = values * visible[:, None]
    return found


def _person(boxes: Array, scores: Array, centre: Array, height: Array, present: Array, image_hw: tuple[int, int], step_s: float) -> Array:
    """(T, PERSON) of a person's interpolated boxes."""
    size = np.array([image_hw[1], image_hw[0]], float)
    edges = np.clip(np.column_stack([boxes[:, :2], size - boxes[:, 2:]]) / height, 0, 1)
    aspect = np.clip((boxes[:, 2:3] - boxes[:, :1]) / height, 0, MOST)
    # Velocities divide by the height of their time: a person who comes nearer is not faster.
    velocity = _velocity(centre, present, step_s, 1 / height)
    growth = _velocity(np.log(height), present, step_s)
    values = np.column_stack([present, scores, height / image_hw[0], centre / size - 0.5, aspect, velocity, growth, edges])
    return np.asarray(values * present[:, None], np.float32)


def _interpolated(times_s: Array, wanted_s: Array, grid: Grid, *columns: Array) -> tuple[Array, list[Array]]:
    """Columns (N, …) of some times at (T,) others, and (T,) whether they are known there.

    Between two times that lie near enough values are interpolated; elsewhere those of a time within half a step count.
    """
    if not len(times_s):
        return np.zeros(len(wanted_s), bool), [np.zeros((len(wanted_s), *column.shape[1:])) for column in columns]
    after = np.searchsorted(times_s, wanted_s)
    left, right = np.maximum(after - 1, 0), np.minimum(after, len(times_s) - 1)
    to_left = np.where(after > 0, wanted_s - times_s[left], np.inf)
    to_right = np.where(after < len(times_s), times_s[right] - wanted_s, np.inf)
    within = to_left + to_right <= grid.most_gap_s + 1e-6
    known = within | (np.minimum(to_left, to_right) <= grid.step_s / 2 + 1e-6)
    share = np.where(to_right < to_left, 1.0, 0.0)
    share[within] = to_left[within] / np.maximum(to_left + to_right, 1e-9)[within]
    shares = [share.reshape(-1, *[1] * (column.ndim - 1)) for column in columns]
    return known, [(1 - s) * column[left] + s * column[right] for s, column in zip(shares, columns, strict=True)]


def _velocity(values: Array, known: Array, step_s: float, scale: Array | float = 1.0) -> Array:
    """(T, D) change a second of (T, D) values, from the neighbours that are known; zero where there is none."""
    change = np.diff(values, axis=0) / step_s * (known[1:] & known[:-1])[:, None]
    both = np.pad((known[1:] & known[:-1]).astype(float), 1)[:, None]
    change = np.pad(change, ((1, 1), (0, 0)))
    mean = (change[1:] + change[:-1]) / np.maximum(both[1:] + both[:-1], 1)
    return np.asarray(np.clip(mean * scale, -MOST, MOST))

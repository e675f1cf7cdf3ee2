"""Where labels go: beside persons, never over one where there is room elsewhere, and where they were before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from parsing.types import Array

Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2
CELLS = 144  # places along the longer side that are tried
STAY = 0.3  # of the picture's longer side: how much nearer another side must be before a label changes to it
REACH = 0.2  # of the longer side: a label that is further from its person says nothing
COVERS_PERSON = 6.0  # longer sides that a whole label over persons is worth; only where nothing else is free


@dataclass
class Places:
    """Finds places for labels of one video; the same person's label keeps its side while there is room.

    Args:
        image_wh: of the picture, in pixels.
    """

    image_wh: tuple[int, int]
    sides: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._step = max(1, max(self.image_wh) // CELLS)
        self._persons = self._labels = np.zeros((1, 1))

    def begin(self, persons: Sequence[Rectangle], labels: Iterable[Rectangle] = ()) -> None:
        """A new frame, with the boxes of its persons and what else must not be covered."""
        width, height = self.image_wh
        cells = (-(-height // self._step), -(-width // self._step))
        self._persons, self._labels = np.zeros(cells, np.float32), np.zeros(cells, np.float32)
        for box in persons:
            self._fill(self._persons, box)
        for box in labels:
            self._fill(self._labels, box)

    def take(self, size: tuple[int, int], person: Rectangle, track_id: int, only_free: bool) -> Rectangle | None:
        """The place for a label of (width, height) pixels, which then is taken; None where there is none near the person.

        Args:
            only_free: not over any person.
        """
        (width, height), step = size, self._step
        if width > self.image_wh[0] or height > self.image_wh[1]:
            return None
        window = (-(-height // step) + 1, -(-width // step) + 1)
        over_persons, over_labels = _sums(self._persons, window), _sums(self._labels, window)
        rows, columns = over_labels.shape
        y, x = (
            np.minimum(np.arange(rows) * step, self.image_wh[1] - height),
            np.minimum(np.arange(columns) * step, self.image_wh[0] - width),
        )
        costs, sides, away = self._costs(x[None, :], y[:, None], size, person, self.sides.get(track_id))
        costs = costs + COVERS_PERSON * max(self.image_wh) * over_persons / (window[0] * window[1])
        costs[(over_labels > 0) | (away > REACH * max(self.image_wh))] = np.inf
        if only_free:
            costs[over_persons > 0] = np.inf
        row, column = np.unravel_index(int(np.argmin(costs)), costs.shape)
        if not np.isfinite(costs[row, column]):
            return None
        if track_id >= 0:
            self.sides[track_id] = sides[row, column]
        place = int(x[column]), int(y[row]), int(x[column]) + width, int(y[row]) + height
        self._fill(self._labels, place)
        return place

    def _costs(self, x: Array, y: Array, size: tuple[int, int], person: Rectangle, before: str | None) -> tuple[Array, Array, Array]:
        """For each place, what it costs, on which side of the person it is, and how far away."""
        (width, height), (x1, y1, x2, y2) = size, person
        right, left = x - x2, x1 - (x + width)
        below, above = y - y2, y1 - (y + height)
        gaps = np.stack(np.broadcast_arrays(right, left, above, below))
        sides = np.array(["right", "left", "above", "below"])[gaps.argmax(0)]
        away = np.hypot(np.maximum(0, np.maximum(right, left)), np.maximum(0, np.maximum(below, above)))
        costs = away + 0.15 * np.abs(y - y1) + 0.04 * max(self.image_wh) * np.isin(sides, ("above", "below"))
        return (costs if before is None else costs + STAY * max(self.image_wh) * (sides != before)), sides, away

    def _fill(self, cells: Array, box: Rectangle) -> None:
        x1, y1, x2, y2 = box
        cells[max(0, y1 // self._step) : max(0, -(-y2 // self._step)), max(0, x1 // self._step) : max(0, -(-x2 // self._step))] = 1


def _sums(cells: Array, window: tuple[int, int]) -> Array:
    """How many cells are taken in the window at each place, those of places at the edge included."""
    height, width = (min(one, most) for one, most in zip(window, cells.shape, strict=True))
    total = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return np.asarray(total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width])

"""What the temporal head sees of a track: parts at several times, and how they move from one time to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsing.types import Array

GEOMETRY = 6  # centre, sides, visible, time
MOTION = 8  # velocity, speed, growth of the sides, the person's own velocity, whether any of it is known
FASTEST = 8.0  # person sizes a second; what is faster is a wrong box


@dataclass(frozen=True, eq=False)
class Observations:
    """N persons in T slots, in order of time; slots without the person are zero.

    Args:
        scores: (N, T, P, S) of the part-state network. persons: (N, T, 4) px. parts: (N, T, P, 4) px.
        visible: (N, T, P) bool. times_s: (N, T), 0 in the middle slot.
    """

    scores: Array
    persons: Array
    parts: Array
    visible: Array
    times_s: Array

    @classmethod
    def empty(cls, n: int, t: int, p: int, s: int) -> Observations:
        boxes = np.zeros((n, t, 4), np.float32), np.zeros((n, t, p, 4), np.float32)
        return cls(np.zeros((n, t, p, s), np.float32), *boxes, np.zeros((n, t, p), bool), np.zeros((n, t), np.float32))

    def put(self, rows: Array, slot: int, scores: Array, persons: Array, parts: Array, visible: Array, time_s: float) -> None:
        """Fill a slot of some persons with what was seen of them at one time."""
        self.scores[rows, slot], self.persons[rows, slot], self.parts[rows, slot] = scores, persons, parts
        self.visible[rows, slot], self.times_s[rows, slot] = visible, time_s

    def features(self, motion: bool) -> Array:
        """(N, T, P, S + GEOMETRY), with MOTION more if asked for: scores, part boxes, and how these move; zero where not visible."""
        columns = [self.scores, self._geometry()] + ([self._motion()] if motion else [])
        return np.asarray(np.concatenate(columns, -1) * self.visible[..., None], np.float32)

    def _geometry(self) -> Array:
        """(N, T, P, GEOMETRY): part boxes in heights of their person around its centre."""
        height = np.maximum(self.persons[..., 3] - self.persons[..., 1], 1.0)[..., None, None]
        centre = ((self.persons[..., :2] + self.persons[..., 2:]) / 2)[:, :, None]
        middles, sides = centres_and_sides(self.parts)
        time = np.broadcast_to(self.times_s[..., None, None], (*self.visible.shape, 1))
        return np.concatenate([(middles - centre) / height, sides / height, self.visible[..., None], time], -1)

    def _motion(self) -> Array:
        """(N, T, P, MOTION) since the slot before, in sizes of the person a second.

        The person's own motion is the median of that of its parts, and taken off theirs, so that neither a camera that moves nor
        a person who walks across the picture counts as motion of the parts.
        """
        found = np.zeros((*self.visible.shape, MOTION), np.float32)
        middles, sides = centres_and_sides(self.parts)
        both = self.visible[:, 1:] & self.visible[:, :-1]
        largest = (self.persons[..., 2:] - self.persons[..., :2]).max(-1).max(-1)  # of all slots: a size that does not breathe
        per = np.maximum(largest, 1.0)[:, None, None, None] * np.maximum(np.diff(self.times_s), 1e-3)[..., None, None]
        moved, grown = np.diff(middles, axis=1) / per, np.diff(sides, axis=1) / per
        own = _median(moved, both)[:, :, None]
        relative = moved - own
        speed = np.linalg.norm(relative, axis=-1, keepdims=True)
        columns = [relative, speed, grown, np.broadcast_to(own, moved.shape)]
        found[:, 1:, :, :-1] = np.clip(np.concatenate(columns, -1), -FASTEST, FASTEST)
        found[:, 1:, :, -1] = 1
        found[:, 1:] *= both[..., None]
        return found


def centres_and_sides(boxes: Array) -> tuple[Array, Array]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def _median(values: Array, there: Array) -> Array:
    """(N, T, 2) medians of (N, T, P, 2) over the parts that are there; 0 where none is."""
    masked = np.ma.array(values, mask=np.broadcast_to(~there[..., None], values.shape))
    return np.asarray(np.ma.median(masked, axis=2).filled(0.0))  # type: ignore[no-untyped-call]

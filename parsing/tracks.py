"""Persons over time: those of two frames that are of one track, and all that is known of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from parsing.types import Array, Detections, FrameParse, Parts, PartStates

SURE_SCORE = 0.75  # a person who is seen for a moment alone counts from this score on


def same_track(first: FrameParse, second: FrameParse) -> tuple[Array, Array]:
    """Rows of both that hold the same track; persons without a track belong to nobody."""
    if first.persons.track_ids is None or second.persons.track_ids is None:
        return np.zeros(0, int), np.zeros(0, int)
    same = (first.persons.track_ids[:, None] == second.persons.track_ids[None, :]) & (first.persons.track_ids[:, None] >= 0)
    rows, columns = np.nonzero(same)
    return rows, columns


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One person at N times, at least one; a row of the columns is a time here, not a person.

    Args:
        times_s: (N,) rising; the times between them may differ.
        image_hw: of the frames that the boxes lie in, in pixels.
    """

    times_s: Array
    persons: Detections
    parts: Parts
    states: PartStates
    image_hw: tuple[int, int]

    def __post_init__(self) -> None:
        lengths = {len(self.times_s), len(self.persons), len(self.parts), len(self.states)}
        if len(lengths) != 1 or 0 in lengths or (np.diff(self.times_s) <= 0).any():
            raise ValueError(f"Tracklet of times {self.times_s!r:.80}, {self.persons}, {self.parts}, {self.states}; expected rising times")

    def __len__(self) -> int:
        return len(self.times_s)

    @classmethod
    def of(cls, seen: Sequence[tuple[FrameParse, int]], image_hw: tuple[int, int]) -> Self:
        """The person that stands in these rows of these frames, which are in order of time."""
        times_s = np.array([parse.time_s for parse, _ in seen])
        boxes, scores = (np.stack([getattr(parse.persons, name)[row] for parse, row in seen]) for name in ("xyxy", "scores"))
        parts = Parts(*(np.stack([getattr(parse.parts, name)[row] for parse, row in seen]) for name in ("xyxy", "scores", "visible")))
        states = PartStates(np.stack([parse.states.scores[row] for parse, row in seen]))
        return cls(times_s, Detections(boxes, scores, np.zeros(len(seen))), parts, states, image_hw)

    def select(self, index: Array) -> Tracklet:
        """The times that `index` (rising integers or a boolean mask over N, at least one) names."""
        persons, parts, states = self.persons.select(index), self.parts.select(index), self.states.select(index)
        return Tracklet(self.times_s[index], persons, parts, states, self.image_hw)

    @property
    def prominence(self) -> float:
        """How much there is to see: the sum over all times of score x side of the box in sides of the image."""
        sides = np.maximum(self.persons.xyxy[:, 2:] - self.persons.xyxy[:, :2], 0).astype(float)
        height, width = self.image_hw
        return float((np.sqrt(sides.prod(1) / (height * width)) * self.persons.scores).sum())


def tracklets(parses: Iterable[FrameParse], image_hw: tuple[int, int]) -> list[Tracklet]:
    """Every track of some frames that are in order of time, key frames alone, the most prominent first.

    A person without a track is one that was seen once.
    """
    seen: dict[tuple[int, int], list[tuple[FrameParse, int]]] = {}
    for parse in parses:
        ids = parse.persons.track_ids
        for row in range(len(parse.persons)) if parse.key else ():
            track_id = -1 if ids is None else int(ids[row])
            alone = len(seen) if track_id < 0 else -1
            seen.setdefault((track_id, alone), []).append((parse, row))
    return sorted((Tracklet.of(rows, image_hw) for rows in seen.values()), key=lambda track: -track.prominence)

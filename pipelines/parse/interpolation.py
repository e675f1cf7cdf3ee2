"""Boxes carried between key frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from parsing.tracks import same_track
from parsing.types import Detections, Frame, FrameParse, Parts


def fill_between(items: Iterable[tuple[Frame, FrameParse | None]]) -> Iterator[tuple[Frame, FrameParse]]:
    """Every frame with a parse: frames between key frames get theirs when the next key frame has come."""
    before: FrameParse | None = None
    waiting: list[Frame] = []  # frames after `before`
    for frame, parse in items:
        if parse is None:
            waiting.append(frame)
            continue
        yield from ((f, interpolate(before, parse, f.index, f.time_s)) for f in waiting if before is not None)
        yield frame, parse
        before, waiting = parse, []
    yield from ((f, interpolate(before, None, f.index, f.time_s)) for f in waiting if before is not None)


def interpolate(before: FrameParse, after: FrameParse | None, index: int, time_s: float) -> FrameParse:
    """The parse of a frame that lies between two key frames.

    Persons, scores, visibility and states are those of the key frame that is nearer in time. Boxes of a track that
    stands in both key frames move linearly in time, its part boxes where they are visible in both; all others hold
    still. Without a later key frame (the video ends) everything is held.
    """
    share = 0.0 if after is None else (time_s - before.time_s) / max(after.time_s - before.time_s, 1e-9)
    share = float(np.clip(share, 0, 1))
    nearest, other = (before, after) if after is None or share < 0.5 else (after, before)
    if other is None or nearest.persons.track_ids is None or other.persons.track_ids is None:
        return FrameParse(index, time_s, nearest.persons, nearest.parts, nearest.states, key=False)
    # How far from the nearer key frame towards the other one.
    weight = share if nearest is before else 1 - share
    rows, other_rows = same_track(nearest, other)
    persons, parts = nearest.persons.xyxy.copy(), nearest.parts.xyxy.copy()
    persons[rows] += weight * (other.persons.xyxy[other_rows] - persons[rows])
    both = (nearest.parts.visible[rows] & other.parts.visible[other_rows])[..., None]
    parts[rows] += weight * both * (other.parts.xyxy[other_rows] - parts[rows])
    moved = Detections(persons, nearest.persons.scores, nearest.persons.class_ids, nearest.persons.track_ids)
    return FrameParse(index, time_s, moved, Parts(parts, nearest.parts.scores, nearest.parts.visible), nearest.states, key=False)

"""Persons of two frames that are of one track."""

from __future__ import annotations

import numpy as np

from parsing.types import Array, FrameParse


def same_track(first: FrameParse, second: FrameParse) -> tuple[Array, Array]:
    """Rows of both that hold the same track; persons without a track belong to nobody."""
    if first.persons.track_ids is None or second.persons.track_ids is None:
        return np.zeros(0, int), np.zeros(0, int)
    same = (first.persons.track_ids[:, None] == second.persons.track_ids[None, :]) & (first.persons.track_ids[:, None] >= 0)
    rows, columns = np.nonzero(same)
    return rows, columns

"""A parse as columns of numbers, small enough for a page: typed, compressed, thinned where there are too many."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from parsing.intervals import StateInterval
from parsing.types import Array, Detections, FrameParse, Parts
from parsing.vocabulary import Vocabulary

MOST_ROWS, MOST_INTERVALS = 60_000, 60_000  # persons in key frames, state intervals: some megabytes each
_TYPES = {"float32": "f4", "int32": "i4", "int16": "i2", "uint8": "u1"}
_ALIGNED = 4  # bytes that a column of a browser's typed array begins at a multiple of


def pack(columns: Mapping[str, Array]) -> dict[str, Any]:
    """Columns as `layout`, a list of [name, type, length], and `data`, their little-endian bytes, deflated, as base64."""
    layout, pieces = [], []
    for name, column in columns.items():
        data = column.astype(f"<{_TYPES[column.dtype.name]}").tobytes()
        layout.append([name, column.dtype.name, column.size])
        pieces.append(data + b"\0" * (-len(data) % _ALIGNED))
    return {"layout": layout, "data": base64.b64encode(zlib.compress(b"".join(pieces), 6)).decode()}


class BoxColumns:
    """Boxes of persons and parts in the frames that the networks saw; those between lie on lines that the page draws anew.

    Where more frames or persons come than a page can hold, every second frame is left out, again and again: of `step`
    frames, one remains.
    """

    def __init__(self, num_parts: int, most_rows: int | None = None) -> None:
        self.num_parts, self.most_rows, self.step = num_parts, most_rows or MOST_ROWS, 1
        self._frames: list[tuple[float, Detections, Parts]] = []
        self._num_rows = self._num_seen = 0

    def add(self, frame: FrameParse) -> None:
        """Take the next frame, if it is a key frame."""
        if not frame.key:
            return
        if self._num_seen % self.step == 0:
            self._frames.append((frame.time_s, frame.persons, frame.parts))
            self._num_rows += len(frame.persons)
        self._num_seen += 1
        while max(self._num_rows, len(self._frames)) > self.most_rows and len(self._frames) > 1:
            self._frames = self._frames[::2]
            self._num_rows = sum(len(persons) for _, persons, _ in self._frames)
            self.step *= 2

    def columns(self) -> dict[str, Array]:
        """F frames, R persons, P parts.

        times (F,) s; first (F + 1,) row of each frame; track (R,), -1 without one; score (R,) in 1/255; box (R, 4) px;
        part_box (R, P, 4) px; part_score (R, P) in 1/255, 0 where a part is not visible.
        """
        persons, parts = [one for _, one, _ in self._frames], [one for _, _, one in self._frames]
        ids = [np.full(len(one), -1) if one.track_ids is None else one.track_ids for one in persons]
        return {
            "times": np.array([time_s for time_s, _, _ in self._frames], np.float32),
            "first": np.cumsum([0, *map(len, persons)]).astype(np.int32),
            "track": _joined(ids).clip(-1, 2**31 - 1).astype(np.int32),
            "box": _pixels(_joined([one.xyxy for one in persons])),
            "part_box": _pixels(_joined([one.xyxy for one in parts])),
            "score": _bytes(_joined([one.scores for one in persons])),
            "part_score": _bytes(_joined([np.maximum(one.scores, 0.01) * one.visible for one in parts])),
        }


class IntervalColumns:
    """State intervals; where there are more than a page can hold, the shortest are left out, up to `shortest_s`."""

    def __init__(self, vocabulary: Vocabulary, most: int = MOST_INTERVALS) -> None:
        self.vocabulary, self.most, self.shortest_s, self.num_left_out = vocabulary, most, 0.0, 0
        self._rows: list[tuple[int, int, int, float, float, float]] = []

    def add(self, intervals: Iterable[StateInterval]) -> None:
        for one in intervals:
            if one.end_s - one.start_s < self.shortest_s:
                self.num_left_out += 1
                continue
            part, state = self.vocabulary.parts.index(one.part), self.vocabulary.states.index(one.state)
            self._rows.append((one.track_id, part, state, one.start_s, one.end_s, one.mean_score))
        if len(self._rows) > 2 * self.most:
            self._thin()

    def columns(self) -> dict[str, Array]:
        """I intervals, by their start: i_start, i_end (I,) s; i_track, i_part, i_state (I,); i_score (I,) in 1/255."""
        if len(self._rows) > self.most:
            self._thin()
        rows = np.array(sorted(self._rows, key=lambda row: row[3]), np.float64).reshape(-1, 6)
        track, part, state, start, end, score = rows.T
        return {
            "i_start": start.astype(np.float32),
            "i_end": end.astype(np.float32),
            "i_track": track.astype(np.int32),
            "i_part": part.astype(np.int16),
            "i_state": state.astype(np.int16),
            "i_score": _bytes(score),
        }

    def _thin(self) -> None:
        durations = np.array([row[4] - row[3] for row in self._rows])
        self.shortest_s = float(np.partition(durations, -self.most)[-self.most])
        kept = [row for row, duration in zip(self._rows, durations, strict=True) if duration > self.shortest_s]
        alike = [row for row, duration in zip(self._rows, durations, strict=True) if duration == self.shortest_s]
        kept += alike[: self.most - len(kept)]
        self.num_left_out += len(self._rows) - len(kept)
        self._rows = kept


class SpanColumns:
    """When each track is there: runs of frames in which it is seen."""

    def __init__(self, fps: float) -> None:
        self._frame_s = 1 / fps if fps > 0 else 0.0
        self._open: dict[int, tuple[float, float]] = {}
        self._rows: list[tuple[int, float, float]] = []

    def add(self, frame: FrameParse) -> None:
        ids = set() if frame.persons.track_ids is None else {i for i in frame.persons.track_ids.tolist() if i >= 0}
        for track_id in [track_id for track_id in self._open if track_id not in ids]:
            start_s, _ = self._open.pop(track_id)
            self._rows.append((track_id, start_s, frame.time_s))
        for track_id in ids:
            start_s, _ = self._open.get(track_id, (frame.time_s, 0.0))
            self._open[track_id] = start_s, frame.time_s

    def columns(self) -> dict[str, Array]:
        """S spans: s_start, s_end (S,) s; s_track (S,)."""
        still = [(track_id, start_s, last_s + self._frame_s) for track_id, (start_s, last_s) in self._open.items()]
        rows = np.array(sorted([*self._rows, *still]), np.float64).reshape(-1, 3)
        return {"s_start": rows[:, 1].astype(np.float32), "s_end": rows[:, 2].astype(np.float32), "s_track": rows[:, 0].astype(np.int32)}


def _joined(arrays: list[Array]) -> Array:
    return np.concatenate(arrays) if arrays else np.zeros(0)


def _pixels(boxes: Array) -> Array:
    return np.round(boxes).clip(-32768, 32767).astype(np.int16).reshape(-1)


def _bytes(scores: Array) -> Array:
    return np.round(np.asarray(scores) * 255).clip(0, 255).astype(np.uint8).reshape(-1)

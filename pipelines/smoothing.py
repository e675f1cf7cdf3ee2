"""Part states smoothed along tracks, in a window that moves with the stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from parsing.types import Array, Frame, FrameParse, PartStates

# A frame, and its parse where it is a key frame.
Item = tuple[Frame, FrameParse | None]


def smooth_states(items: Iterable[Item], window_s: float) -> Iterator[Item]:
    """The same frames, the states of key frames averaged over their track.

    Frames wait until the window behind them is full, so memory grows by `window_s` of video.

    Args:
        items: in display order; parses carry track ids.
        window_s: how far to both sides other key frames count, less and less the farther they are; 0 changes nothing.
    """
    if window_s == 0:
        yield from items
        return
    waiting: deque[Item] = deque()
    known: deque[FrameParse] = deque()
    for frame, parse in items:
        waiting.append((frame, parse))
        if parse is not None:
            known.append(parse)
        while waiting and frame.time_s - waiting[0][0].time_s >= window_s:
            yield _smoothed(*waiting.popleft(), known, window_s)
        while known and waiting and known[0].time_s < waiting[0][0].time_s - window_s:
            known.popleft()
    while waiting:
        yield _smoothed(*waiting.popleft(), known, window_s)


def _smoothed(frame: Frame, parse: FrameParse | None, known: Iterable[FrameParse], window_s: float) -> Item:
    if parse is None or parse.persons.track_ids is None:
        return frame, parse
    total = np.zeros_like(parse.states.scores)
    weights = np.zeros(parse.parts.visible.shape, np.float32)
    for other in known:
        nearness = 1 - abs(other.time_s - parse.time_s) / window_s
        if nearness > 0 and other.persons.track_ids is not None:
            rows, columns = _same_track(parse.persons.track_ids, other.persons.track_ids, other is parse)
            shown = nearness * other.parts.visible[columns]
            total[rows] += shown[..., None] * other.states.scores[columns]
            weights[rows] += shown
    mean = np.divide(total, weights[..., None], out=np.zeros_like(total), where=weights[..., None] > 0)
    return frame, replace(parse, states=PartStates(np.clip(mean * parse.parts.visible[..., None], 0, 1)))


def _same_track(first: Array, second: Array, itself: bool) -> tuple[Array, Array]:
    """Rows of both that hold the same track; persons without a track only go with themselves."""
    same = (first[:, None] == second[None, :]) & (first[:, None] >= 0)
    rows, columns = np.nonzero(same | (np.eye(len(first), dtype=bool) if itself else False))
    return rows, columns

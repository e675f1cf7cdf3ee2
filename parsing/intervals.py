"""What holds from when to when: tracks, and states of the parts of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from parsing.types import Array, FrameParse
from parsing.vocabulary import Vocabulary

HOLDS_FROM = 0.5  # score from which a state holds


@dataclass(frozen=True)
class StateInterval:
    """A state of a part of a track that holds in every frame from `first_frame` to `last_frame`, in which the track is seen.

    `end_s` is when it holds no longer: the time of the next frame. So intervals that follow each other touch, and their
    durations add up.
    """

    track_id: int
    part: str
    state: str
    start_s: float
    end_s: float
    first_frame: int
    last_frame: int
    num_frames: int
    mean_score: float


@dataclass(frozen=True)
class TrackSpan:
    """In which frames a track is seen; `end_s` is the time of the last of them, as in parse.json."""

    track_id: int
    start_s: float
    end_s: float
    first_frame: int
    last_frame: int
    num_frames: int


@dataclass
class _Open:
    """Of one track, each (P, S): in how many frames a state has held up to now, 0 where it does not, since when, with which scores."""

    count: Array
    first_frame: Array
    start_s: Array
    total: Array


@dataclass
class IntervalFinder:
    """Finds intervals frame by frame, in memory that does not grow with the video; persons without a track have none.

    Args:
        threshold: score from which a state holds.
        tracks: those seen up to now.
    """

    vocabulary: Vocabulary
    threshold: float = HOLDS_FROM
    tracks: dict[int, TrackSpan] = field(default_factory=dict)
    _open: dict[int, _Open] = field(default_factory=dict)
    _last: FrameParse | None = None

    def add(self, frame: FrameParse) -> list[StateInterval]:
        """The intervals that end with the frame before this one; frames come in order."""
        ids = frame.persons.track_ids
        see(self.tracks, frame)
        rows = {} if ids is None else {track_id: row for row, track_id in enumerate(ids.tolist()) if track_id >= 0}
        ended = [interval for track_id in self._open.keys() - rows.keys() for interval in self._end(track_id, frame.time_s)]
        for track_id, row in rows.items():
            scores = frame.states.scores[row]
            holds = scores >= self.threshold
            ended += self._end(track_id, frame.time_s, ~holds)
            self._go_on(track_id, frame, holds, scores)
        self._last = frame
        return sorted(ended, key=lambda one: (one.start_s, one.track_id))

    def finish(self, frame_s: float) -> list[StateInterval]:
        """The intervals that last until the end.

        Args:
            frame_s: how long the last frame is shown, in seconds.
        """
        end_s = 0.0 if self._last is None else self._last.time_s + frame_s
        return [interval for track_id in sorted(self._open) for interval in self._end(track_id, end_s)]

    def _go_on(self, track_id: int, frame: FrameParse, holds: Array, scores: Array) -> None:
        one = self._open.get(track_id)
        if one is None:
            one = self._open[track_id] = _Open(*(np.zeros(holds.shape, kind) for kind in (int, int, float, float)))
        new = holds & (one.count == 0)
        one.first_frame[new], one.start_s[new] = frame.index, frame.time_s
        one.count[holds] += 1
        one.total[holds] += scores[holds]

    def _end(self, track_id: int, end_s: float, where: Array | None = None) -> Iterator[StateInterval]:
        """The open intervals of a track, or those at some (P, S), which are open no more."""
        one = self._open.get(track_id)
        if one is None or self._last is None:
            return
        for p, s in np.argwhere((one.count > 0) if where is None else (one.count > 0) & where).tolist():
            count, start_s = int(one.count[p, s]), float(one.start_s[p, s])
            names = self.vocabulary.parts[p], self.vocabulary.states[s]
            frames = int(one.first_frame[p, s]), self._last.index, count
            yield StateInterval(track_id, *names, start_s, end_s, *frames, float(one.total[p, s]) / count)
            one.count[p, s], one.total[p, s] = 0, 0.0
        if where is None:
            del self._open[track_id]


def state_intervals(
    frames: Iterable[FrameParse], vocabulary: Vocabulary, frame_s: float, threshold: float = HOLDS_FROM
) -> Iterator[StateInterval]:
    """The intervals of a video in the order in which they end, see `IntervalFinder`."""
    finder = IntervalFinder(vocabulary, threshold)
    for frame in frames:
        yield from finder.add(frame)
    yield from finder.finish(frame_s)


def see(tracks: dict[int, TrackSpan], frame: FrameParse) -> None:
    """Add a frame to the spans of the tracks that are seen in it."""
    for track_id in () if frame.persons.track_ids is None else frame.persons.track_ids.tolist():
        if track_id >= 0:
            first = tracks.get(track_id, TrackSpan(track_id, frame.time_s, frame.time_s, frame.index, frame.index, 0))
            tracks[track_id] = replace(first, end_s=frame.time_s, last_frame=frame.index, num_frames=first.num_frames + 1)

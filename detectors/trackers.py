"""Trackers: which person of a frame is which of the frames before."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import supervision
from pydantic import Field
from trackers import ByteTrackTracker
from trackers.core.bytetrack.tracklet import ByteTrackTracklet

from parsing.configs import Table, config
from parsing.networks.weights import model_facts
from parsing.stages import Item
from parsing.types import Array, Frame, FrameParse

TRACKERS: Table = {
    "bytetrack": "detectors.trackers:ByteTrackConfig",
    "oracle": "parsing.recorded.configs:RecordedTracksConfig",
    "replay": "parsing.recorded.configs:RecordedTracksConfig",
}
Share = Annotated[float, Field(ge=0, le=1)]
LIBRARY_RATE = 30.0  # the library counts its buffer in frames of this rate


@config
class ByteTrackConfig:
    """Options of ByteTrack (Zhang et al., ECCV 2022).

    Args:
        lost_s: how long a track without detections is kept.
        new_score: score from which a detection starts a track.
        high_score: detections from this score on are matched first.
        min_iou: overlap between a track's prediction and a detection that may be matched.
    """

    name: Literal["bytetrack"]
    lost_s: Annotated[float, Field(ge=0, le=3600)] = 1.5
    new_score: Share = 0.5
    high_score: Share = 0.5
    min_iou: Share = 0.1

    def build(self, device: str) -> ByteTrack:  # noqa: ARG002  # every stage is built for a device
        return ByteTrack(self)


class ByteTrack:
    """A `Tracker`; ids count from 1 in each video. A track is confirmed by a second key frame that shows its person.

    Frames are placed in time by their own times, so variable rates and skipped frames do not disturb the motion model.
    A key frame waits for at most two more, as the library forgets an unconfirmed track that is missing in two.
    """

    def __init__(self, options: ByteTrackConfig) -> None:
        self.options, self.facts = options, model_facts("tracker", options)

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        video, waiting = _Tracks(self.options), deque[tuple[Frame, _Tracked | None]]()
        for frame, parse in items:
            waiting.append((frame, None if parse is None else video.add(parse)))
            while waiting and (waiting[0][1] is None or not any(map(video.is_open, waiting[0][1].begun.values()))):
                yield _settled(*waiting.popleft())
        yield from (_settled(*item) for item in waiting)


@dataclass(frozen=True, eq=False)
class _Tracked:
    """A key frame with the ids that are known by now, and the tracks that some of its persons, by row, have begun."""

    parse: FrameParse
    track_ids: Array
    begun: dict[int, ByteTrackTracklet]


class _Tracks:
    """Those of one video."""

    def __init__(self, options: ByteTrackConfig) -> None:
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(options.lost_s * LIBRARY_RATE),
            frame_rate=LIBRARY_RATE,
            track_activation_threshold=options.new_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=options.min_iou,
            high_conf_det_threshold=options.high_score,
        )

    def is_open(self, track: ByteTrackTracklet) -> bool:
        """Whether a track may still be confirmed."""
        return track.tracker_id < 0 and track in self._tracker.tracks

    def add(self, parse: FrameParse) -> _Tracked:
        """Follow the persons of the next key frame."""
        persons = parse.persons
        known = supervision.Detections(
            xyxy=persons.xyxy.astype(np.float32),
            confidence=persons.scores,
            class_id=persons.class_ids,
            data={"row": np.arange(len(persons))},
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of its own deprecations
            tracked = self._tracker.update(known, timestamp=parse.time_s)
        track_ids = np.full(len(persons), -1)
        if len(tracked):
            track_ids[tracked.data["row"]] = [_track_id(number) for number in tracked.tracker_id]
        return _Tracked(parse, track_ids, self._begun(persons.xyxy, track_ids))

    def _begun(self, boxes: Array, track_ids: Array) -> dict[int, ByteTrackTracklet]:
        """The tracks that began in this frame, in the order of the rows, by row: each stands where its person's box is."""
        rows = iter(np.flatnonzero(track_ids < 0).tolist())
        new = [track for track in self._tracker.tracks if track.age == 0]
        return {next(row for row in rows if np.array_equal(boxes[row], track.get_state_bbox())): track for track in new}


def _settled(frame: Frame, tracked: _Tracked | None) -> Item:
    """With the ids of the tracks that have been confirmed since."""
    if tracked is None:
        return frame, None
    for row, track in tracked.begun.items():
        tracked.track_ids[row] = _track_id(track.tracker_id)
    return frame, replace(tracked.parse, persons=replace(tracked.parse.persons, track_ids=tracked.track_ids))


def _track_id(number: int) -> int:
    return number + 1 if number >= 0 else -1  # the library numbers from 0

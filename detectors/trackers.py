"""Trackers: which person of a frame is which of the frames before."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import supervision
from pydantic import Field
from trackers import ByteTrackTracker
from trackers.core.bytetrack.tracklet import ByteTrackTracklet

from parsing.configs import Table, config
from parsing.networks.weights import model_facts
from parsing.stages import Item
from parsing.types import Frame, FrameParse

TRACKERS: Table = {
    "bytetrack": "detectors.trackers:ByteTrackConfig",
    "oracle": "parsing.recorded.configs:RecordedTracksConfig",
    "replay": "parsing.recorded.configs:RecordedTracksConfig",
}
Share = Annotated[float, Field(ge=0, le=1)]
Tracks = list[ByteTrackTracklet | None]  # of the persons of a frame, None where a person has no track
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
        tracker, waiting = self._new_tracker(), deque[tuple[Frame, FrameParse | None, Tracks]]()
        for frame, parse in items:
            waiting.append((frame, parse, [] if parse is None else _follow(tracker, parse)))
            while waiting and not any(_is_open(tracker, track) for track in waiting[0][2]):
                yield _settled(*waiting.popleft())
        yield from (_settled(*item) for item in waiting)

    def _new_tracker(self) -> ByteTrackTracker:
        return ByteTrackTracker(
            lost_track_buffer=round(self.options.lost_s * LIBRARY_RATE),
            frame_rate=LIBRARY_RATE,
            track_activation_threshold=self.options.new_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self.options.min_iou,
            high_conf_det_threshold=self.options.high_score,
        )


def _follow(tracker: ByteTrackTracker, parse: FrameParse) -> Tracks:
    """The tracks that the persons of the next key frame continue or begin."""
    persons = parse.persons
    known = supervision.Detections(
        xyxy=persons.xyxy.astype(np.float32),
        confidence=persons.scores,
        class_id=persons.class_ids,
        data={"row": np.arange(len(persons))},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of its own deprecations
        tracked = tracker.update(known, timestamp=parse.time_s)
    confirmed = {track.tracker_id: track for track in tracker.tracks}
    tracks: Tracks = [None] * len(persons)
    for row, number in zip(tracked.data.get("row", ()), tracked.tracker_id, strict=True):
        tracks[row] = confirmed[number] if number >= 0 else None
    # The library does not tell which person begins which track: a new one stands where its person's box is.
    for track in tracker.tracks:
        if track.age == 0:
            box = track.get_state_bbox()
            tracks[next(i for i, other in enumerate(tracks) if other is None and np.array_equal(persons.xyxy[i], box))] = track
    return tracks


def _is_open(tracker: ByteTrackTracker, track: ByteTrackTracklet | None) -> bool:
    """Whether a track is not confirmed yet, and may still be."""
    return track is not None and track.tracker_id < 0 and track in tracker.tracks


def _settled(frame: Frame, parse: FrameParse | None, tracks: Tracks) -> Item:
    """The ids that are known by now; the library numbers from 0."""
    if parse is None:
        return frame, None
    numbers = np.array([-1 if track is None else track.tracker_id for track in tracks], int)
    return frame, replace(parse, persons=replace(parse.persons, track_ids=np.where(numbers < 0, -1, numbers + 1)))

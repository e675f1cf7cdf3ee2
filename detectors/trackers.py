"""Trackers: which person of a frame is which of the frames before."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

import numpy as np
import supervision
from pydantic import Field
from trackers import ByteTrackTracker

from parsing.configs import Table, config
from parsing.networks.weights import model_facts
from parsing.types import Detections, Frame

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
    """One video's tracks; ids count from 1. A person has none (-1) in the first key frame that shows it.

    Frames are placed in time by their own times, so variable rates and skipped frames do not disturb the motion model.
    """

    def __init__(self, options: ByteTrackConfig) -> None:
        self.facts = model_facts("tracker", options)
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(options.lost_s * LIBRARY_RATE),
            frame_rate=LIBRARY_RATE,
            track_activation_threshold=options.new_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=options.min_iou,
            high_conf_det_threshold=options.high_score,
        )

    def __call__(self, frame: Frame, persons: Detections) -> Detections:
        """The same persons, same order, with `track_ids`; -1 where no track is confirmed yet."""
        known = supervision.Detections(
            xyxy=persons.xyxy.astype(np.float32),
            confidence=persons.scores,
            class_id=persons.class_ids,
            data={"row": np.arange(len(persons))},
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of its own deprecations
            tracked = self._tracker.update(known, timestamp=frame.time_s)
        track_ids = np.full(len(persons), -1)
        if len(tracked):
            # The library numbers from 0.
            track_ids[tracked.data["row"]] = np.where(tracked.tracker_id >= 0, tracked.tracker_id + 1, -1)
        return Detections(persons.xyxy, persons.scores, persons.class_ids, track_ids)

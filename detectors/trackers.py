"""Trackers: which person of a frame is which of the frames before. The methods are those of the `trackers` package."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import supervision
import trackers
from pydantic import Field

from parsing.configs import Share, config
from parsing.networks.weights import model_facts
from parsing.stages import Item, Tracker
from parsing.tracks import SURE_SCORE
from parsing.types import Array, Frame, FrameParse, ModelFacts

logging.getLogger("trackers.cmc").setLevel(logging.ERROR)  # it tells of every picture that is too plain
Seconds = Annotated[float, Field(ge=0, le=3600)]
Library = Any  # a tracker of the package, and a track of such a tracker
Tracks = list[Library | None]  # of the persons of a frame, None where a person has no track
LIBRARY_RATE = 30.0  # the library counts its buffer in frames of this rate
MOST_WAIT = 2  # key frames that a key frame waits for its tracks to be confirmed
# Tracks that end before this time count where one of their scores is sure; key frames that a frame waits for it at most.
BRIEF_S, MOST_WAIT_BRIEF = 0.3, 9


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
    lost_s: Seconds = 1.5
    new_score: Share = 0.5
    high_score: Share = 0.5
    min_iou: Share = 0.1

    def build(self, device: str) -> Tracker:  # noqa: ARG002  # every stage is built for a device
        return BoxTracker(self._start, facts=model_facts("tracker", self))

    def _start(self) -> Library:
        return trackers.ByteTrackTracker(
            **_kept(self.lost_s),
            track_activation_threshold=self.new_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self.min_iou,
            high_conf_det_threshold=self.high_score,
        )


@config
class OCSortConfig:
    """Options of OC-SORT (Cao et al., CVPR 2023), which corrects a lost track's motion once it is found again.

    Args:
        lost_s, min_iou: as of ByteTrack.
        high_score: detections below are not followed.
        direction_weight: of the angle between a track's motion and the way to a detection, beside the overlap.
    """

    name: Literal["ocsort"]
    lost_s: Seconds = 1.5
    high_score: Share = 0.5
    min_iou: Share = 0.3
    direction_weight: Share = 0.2

    def build(self, device: str) -> Tracker:  # noqa: ARG002
        return BoxTracker(self._start, facts=model_facts("tracker", self))

    def _start(self) -> Library:
        return trackers.OCSORTTracker(
            **_kept(self.lost_s),
            minimum_consecutive_frames=1,
            minimum_iou_threshold=self.min_iou,
            direction_consistency_weight=self.direction_weight,
            high_conf_det_threshold=self.high_score,
        )


@config
class BoTSortConfig:
    """Options of BoT-SORT (Aharon et al., 2022), without its appearance features: predictions follow the camera's motion.

    Args:
        lost_s, new_score, high_score: as of ByteTrack.
        min_similarity: least overlap times score of a match.
        camera_motion: how the camera's motion between key frames is found: optical flow of corners, for up to about 30 px
            between two, or ORB or SIFT features.
    """

    name: Literal["botsort"]
    lost_s: Seconds = 1.5
    new_score: Share = 0.5
    high_score: Share = 0.5
    min_similarity: Share = 0.2
    camera_motion: Literal["flow", "orb", "sift"] = "flow"

    def build(self, device: str) -> Tracker:  # noqa: ARG002
        return BoxTracker(self._start, sees_frames=True, facts=model_facts("tracker", self))

    def _start(self) -> Library:
        return trackers.BoTSORTTracker(
            **_kept(self.lost_s),
            **_from_second(self.new_score, self.high_score),
            minimum_iou_threshold_first_assoc=self.min_similarity,
            minimum_iou_threshold_unconfirmed_assoc=self.min_similarity,
            cmc_method="sparseOptFlow" if self.camera_motion == "flow" else self.camera_motion,
        )


@config
class CBIoUConfig:
    """Options of C-BIoU (Yang et al., WACV 2023), which matches boxes that were widened: for fast and irregular motion.

    Args:
        lost_s, new_score, high_score, min_similarity: as of BoT-SORT.
        first_margin, second_margin: shares of a box's sides that it is widened by, for sure and for unsure detections.
    """

    name: Literal["cbiou"]
    lost_s: Seconds = 1.5
    new_score: Share = 0.5
    high_score: Share = 0.5
    min_similarity: Share = 0.2
    first_margin: Share = 0.3
    second_margin: Share = 0.5

    def build(self, device: str) -> Tracker:  # noqa: ARG002
        return BoxTracker(self._start, facts=model_facts("tracker", self))

    def _start(self) -> Library:
        return trackers.CBIoUTracker(
            **_kept(self.lost_s),
            **_from_second(self.new_score, self.high_score),
            minimum_iou_threshold_first_assoc=self.min_similarity,
            minimum_iou_threshold_unconfirmed_assoc=self.min_similarity,
            buffer_ratio_first=self.first_margin,
            buffer_ratio_second=self.second_margin,
        )


def _kept(lost_s: float) -> dict[str, Any]:
    return {"lost_track_buffer": round(lost_s * LIBRARY_RATE), "frame_rate": LIBRARY_RATE}


def _from_second(new_score: float, high_score: float) -> dict[str, Any]:
    """Tracks that are confirmed by their second detection, in the first frame too."""
    scores = {"track_activation_threshold": new_score, "high_conf_det_threshold": high_score}
    return {**scores, "minimum_consecutive_frames": 2, "instant_first_frame_activation": False}


class BoxTracker:
    """A `Tracker`; ids count from 1 in each video. A track is confirmed by a second key frame that shows its person.

    Frames are placed in time by their own times, so variable rates and skipped frames do not disturb the motion model.
    A key frame waits for at most two more: a person who is not seen again in these has no track in it. Where nobody is sure of
    a track (`SURE_SCORE`), it waits until the track has lasted for `BRIEF_S`; what ends before is none.

    Args:
        start: gives a tracker of the library for a new video.
        sees_frames: it looks at pictures too, not at boxes alone.
    """

    def __init__(
        self, start: Callable[[], Library], sees_frames: bool = False, facts: ModelFacts = ModelFacts("tracker", "bytetrack", None, "{}")
    ) -> None:
        self.start, self.sees_frames, self.facts = start, sees_frames, facts

    def __call__(self, items: Iterable[Item], *, waits: bool = True) -> Iterator[Item]:
        tracker, num_keys, now_s = self.start(), 0, 0.0
        seen, numbers = dict[Library, _Seen](), itertools.count(1)
        waiting = deque[tuple[int, Frame, FrameParse | None, Tracks]]()
        for frame, parse in items:
            tracks: Tracks = []
            if parse is not None:
                num_keys, now_s = num_keys + 1, parse.time_s
                tracks = _follow(tracker, parse, frame.image if self.sees_frames else None)
                _note(seen, tracks, parse)
            waiting.append((num_keys, frame, parse, tracks))
            while waiting and not (waits and _is_open(tracker, seen, waiting[0][3], num_keys - waiting[0][0], now_s)):
                yield _settled(*waiting.popleft()[1:], seen, numbers)
            for gone in seen.keys() - {*tracker.tracks, *(track for *_, some in waiting for track in some)}:
                del seen[gone]
        yield from (_settled(*item[1:], seen, numbers) for item in waiting)


@dataclass
class _Seen:
    """When a track was seen first and last, its best score, and its id once it has one."""

    first_s: float
    last_s: float
    score: float
    number: int = -1

    @property
    def counts(self) -> bool:
        return self.score >= SURE_SCORE or self.last_s - self.first_s >= BRIEF_S


def _note(seen: dict[Library, _Seen], tracks: Tracks, parse: FrameParse) -> None:
    """Keep what a key frame says of its tracks."""
    for track, score in zip(tracks, parse.persons.scores.tolist(), strict=True):
        if track is not None:
            known = seen.setdefault(track, _Seen(parse.time_s, parse.time_s, score))
            known.last_s, known.score = parse.time_s, max(known.score, score)


def _follow(tracker: Library, parse: FrameParse, image: Array | None) -> Tracks:
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
        tracked = tracker.update(known, frame=None if image is None else np.ascontiguousarray(image[..., ::-1]), timestamp=parse.time_s)
    confirmed = {track.tracker_id: track for track in tracker.tracks}
    tracks: Tracks = [None] * len(persons)
    for row, number in zip(tracked.data.get("row", ()), tracked.tracker_id, strict=True):
        tracks[row] = confirmed[number] if number >= 0 else None
    # The library does not tell which person begins which track: a new one stands where its person's box is.
    for track in tracker.tracks:
        if track.age == 0:
            off = np.abs(persons.xyxy - track.get_state_bbox()).max(1)
            tracks[min((i for i, other in enumerate(tracks) if other is None), key=off.__getitem__)] = track
    return tracks


def _is_open(tracker: Library, seen: dict[Library, _Seen], tracks: Tracks, later_keys: int, now_s: float) -> bool:
    """Whether a frame has a track that may still be confirmed, or may still last long enough, in the key frames to come."""
    for track in tracks:
        if track is None or track not in tracker.tracks:
            continue
        is_new = track.tracker_id < 0 and later_keys < MOST_WAIT
        is_brief = not seen[track].counts and now_s - seen[track].first_s < BRIEF_S and later_keys < MOST_WAIT_BRIEF
        if is_new or is_brief:
            return True
    return False


def _settled(frame: Frame, parse: FrameParse | None, tracks: Tracks, seen: dict[Library, _Seen], numbers: Iterator[int]) -> Item:
    """The ids that are known by now, numbered as they come."""
    if parse is None:
        return frame, None
    for track in tracks:
        if track is not None and track.tracker_id >= 0 and seen[track].counts and seen[track].number < 0:
            seen[track].number = next(numbers)
    ids = np.array([-1 if track is None else seen[track].number for track in tracks], int)
    return frame, replace(parse, persons=replace(parse.persons, track_ids=ids))

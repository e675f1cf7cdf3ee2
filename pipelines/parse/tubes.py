"""What each person does: recognizers on the crop tube of a track, and its parts, window after window, while the frames stream by.

A tube is cut from key frames alone, so a recognizer sees the person at the rate of the key frames: with `every: 3` and
30 frames a second it is 10 crops a second, and what moves looks three times as fast as in the whole video.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from parsing.configs import Count, config
from parsing.geometry import Crop
from parsing.stages import Item
from parsing.tracks import Tracklet
from parsing.types import ActionScore, ActionScores, Array, Branch, Frame, FrameParse, ModelFacts
from pipelines.parse.part_actions import PartMixer
from recognizers.by_size import Route
from recognizers.windows import Timeline, Window, Windows, check_no_gaps, recognize

log = logging.getLogger(__name__)

SMOOTH_S = 0.2  # the window follows the person with this delay, so that boxes that shake do not shake the picture


@config
class TrackActionsConfig:
    """How tubes are cut.

    Args:
        every_s: how far the beginnings of two windows of a track lie apart; at most `window_s`.
        window_s: time that a recognizer sees at once.
        expand: side of the square around a person, in longer sides of the person's box.
        most_tracks: tubes kept at a time; a track that finds none free gets one when another track has ended.
        min_frames: crops that a window must hold to be recognized.
        most_frames: crops that a window may hold; key frames that come faster are left out.
        most_px: side that larger crops are scaled down to; that of the recognizers' input or a little more.
        clips: most clips that a video network of `recognizers` looks at in a window in each of its views; None as many as in a
            video, as those of the low-resolution branch do.
        low_res: whether small persons of large videos go to the low-resolution branch, as small videos do; else what sees the
            video sees its persons.
    """

    every_s: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    window_s: Annotated[float, Field(ge=0.1, le=10)] = 2.0
    expand: Annotated[float, Field(ge=1, le=4)] = 1.3
    most_tracks: Annotated[int, Field(ge=1, le=64)] = 8
    min_frames: Count = 4
    most_frames: Annotated[int, Field(ge=1, le=128)] = 32
    most_px: Annotated[int, Field(ge=16, le=512)] = 224
    clips: Annotated[int, Field(ge=1, le=256)] | None = None
    low_res: bool = True

    def __post_init__(self) -> None:
        check_no_gaps(self.window_s, self.every_s)
        if self.min_frames > self.most_frames:
            raise ValueError(f"min_frames {self.min_frames} is above most_frames {self.most_frames}")

    @property
    def facts(self) -> ModelFacts:
        """For the parse, which shows by it that actions of tracks were wanted."""
        return ModelFacts("track_actions", "crop_tubes", None, json.dumps(asdict(self)))


@dataclass(frozen=True, eq=False)
class Seen:
    """A person in a frame: the crop, the side of its square in the video's pixels, which says how much detail it can show, and the row."""

    crop: Frame
    side_px: float
    parse: FrameParse
    row: int


class Tube:
    """The square crops that follow one person, and the windows that they fill."""

    def __init__(self, options: TrackActionsConfig, begin_s: float) -> None:
        self.options, self.seen_s = options, begin_s
        self.windows = Windows[Seen](
            options.window_s, options.every_s, options.most_frames, least_items=options.min_frames, begin_s=begin_s
        )
        self._square: Array | None = None

    def add(self, frame: Frame, parse: FrameParse, row: int) -> list[Window[Seen]]:
        """Follow the person in this row; gives the windows that are complete."""
        box = parse.persons.xyxy[row]
        square, before = square_around(box, self.options.expand, frame.image_hw), self._square
        if before is not None:
            square = before + (1 - math.exp((self.seen_s - frame.time_s) / SMOOTH_S)) * (square - before)
        self._square, self.seen_s = square, frame.time_s
        left, top, side = (float(value) for value in square)
        crop = Crop(left, top, side, min(self.options.most_px, math.ceil(side)))
        cut = Frame(frame.video, frame.index, frame.time_s, crop.pixels(frame.image))
        return self.windows.add(frame.time_s, Seen(cut, side, parse, row))


class TrackActions:
    """Passes the frames of one video on and recognizes what the persons of its tracks do.

    At most `most_tracks` x `most_frames` crops are kept, however long the video is.

    Args:
        route_of: which recognizer sees a person, given how many pixels of the video a side of the square around it has;
            None leaves the person to its parts.
        parts: what parts say beside recognizers, but those of the low-resolution branch; None leaves them out.
        image_hw: of the video's frames.
    """

    def __init__(
        self,
        options: TrackActionsConfig,
        route_of: Callable[[float], Route | None],
        parts: PartMixer | None = None,
        image_hw: tuple[int, int] = (1, 1),
    ) -> None:
        self.options, self.route_of, self.parts, self.image_hw = options, route_of, parts, image_hw
        self.found: dict[int, list[ActionScore]] = {}  # by track, in order of time
        self.used: set[tuple[Branch, ModelFacts]] = set()
        self.tubes: dict[int, Tube] = {}
        self._timelines: dict[int, Timeline] = {}
        self._turned_away: set[int] = set()

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; `found` is whole when they have been used up."""
        for frame, parse in items:
            if parse is not None:
                self._see(frame, parse)
            yield frame, parse
        for track_id in list(self.tubes):
            self._close(track_id)
        if self._turned_away:
            log.warning("%s: tracks that found no free tube for some time (most_tracks): %d", frame.video, len(self._turned_away))

    def _see(self, frame: Frame, parse: FrameParse) -> None:
        for track_id in [i for i, tube in self.tubes.items() if frame.time_s - tube.seen_s >= self.options.window_s]:
            self._close(track_id)
        persons = parse.persons
        if persons.track_ids is None:
            return
        for row, track_id in enumerate(persons.track_ids.tolist()):
            tube = self._tube(track_id, frame.time_s) if track_id >= 0 else None
            if tube is not None:
                self._recognize(track_id, tube.add(frame, parse, row))

    def _tube(self, track_id: int, time_s: float) -> Tube | None:
        if track_id not in self.tubes:
            if len(self.tubes) == self.options.most_tracks:
                self._turned_away.add(track_id)
                return None
            self.tubes[track_id] = Tube(self.options, time_s)
        return self.tubes[track_id]

    def _close(self, track_id: int) -> None:
        tube = self.tubes.pop(track_id)
        self._recognize(track_id, tube.windows.finish(tube.seen_s))

    def _recognize(self, track_id: int, windows: Iterable[Window[Seen]]) -> None:
        for window in windows:
            route = self.route_of(float(np.median([seen.side_px for seen in window.items])))
            recognized = None if route is None else recognize(route.recognizer, [seen.crop for seen in window.items])
            branch: Branch = "recognizers" if route is None else route.branch
            mixer = self.parts if branch == "recognizers" else None
            if mixer is not None:
                scores, names = self._with_parts(mixer, window.items, recognized), mixer.source.action_names
            elif route is not None and recognized is not None:
                scores, names = recognized, route.recognizer.action_names
            else:
                continue
            timeline = self._timelines.setdefault(track_id, Timeline())
            timeline.add(scores, names, window.start_s, window.end_s, branch)
            self.used |= {(branch, model) for model in scores.models}
            self.found[track_id] = timeline.actions

    def _with_parts(self, mixer: PartMixer, seen: Sequence[Seen], recognized: ActionScores | None) -> ActionScores:
        return mixer([Tracklet.of([(one.parse, one.row) for one in seen], self.image_hw)], recognized)


def square_around(box: Array, expand: float, image_hw: tuple[int, int]) -> Array:
    """(3,) left, top and side in pixels of the square around a (4,) box, moved into the image as far as it fits.

    The square is `expand` times as large as the box's longer side, but not larger than the image's shorter side, unless
    the box itself is: real surroundings serve a recognizer better than grey ones.
    """
    height, width = image_hw
    longer = max(2.0, float(max(box[2] - box[0], box[3] - box[1])))
    side = max(longer, min(expand * longer, height, width))
    left, top = float(box[0] + box[2] - side) / 2, float(box[1] + box[3] - side) / 2
    return np.array([_inside(left, side, width), _inside(top, side, height), side])


def _inside(start: float, side: float, length: float) -> float:
    """Where a side begins that is moved inside of a length, or centred on it where it is longer."""
    return (length - side) / 2 if side > length else min(max(start, 0.0), length - side)

"""A small picture of each track, from the frame that shows the person best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from parsing.types import Array, Frame, FrameParse

MOST_TRACKS = 300  # pictures of a page
MOST_FRAMES = 9000  # frames that are decoded for them, some minutes of video
HEIGHT_PX, WIDTH_PX, MARGIN, QUALITY = 112, 112, 0.06, 82
POSTER_PX = 640


@dataclass(frozen=True)
class Sight:
    """Where a track is seen, and how well."""

    frame: int
    box: tuple[float, float, float, float]
    quality: float


class BestSights:
    """For each track the frame in which the person is large, surely found and whole."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.found: dict[int, Sight] = {}
        self.poster, self._most_persons = 0, 0  # the frame with the most persons

    def add(self, frame: FrameParse) -> None:
        if not frame.key or frame.index >= MOST_FRAMES or frame.persons.track_ids is None:
            return
        if len(frame.persons) > self._most_persons:
            self.poster, self._most_persons = frame.index, len(frame.persons)
        for track_id, box, score in zip(frame.persons.track_ids.tolist(), frame.persons.xyxy, frame.persons.scores, strict=True):
            if track_id < 0 or (track_id not in self.found and len(self.found) >= MOST_TRACKS):
                continue
            sight = Sight(frame.index, tuple(box.tolist()), self._quality(box, float(score)))
            if track_id not in self.found or sight.quality > self.found[track_id].quality * 1.02:  # early ones are found sooner
                self.found[track_id] = sight

    def _quality(self, box: Array, score: float) -> float:
        x1, y1, x2, y2 = box.tolist()
        cut = (x1 <= 1) + (y1 <= 1) + (x2 >= self.width - 1) + (y2 >= self.height - 1)
        return float(score * np.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1)) * (1 - 0.2 * cut))


def cut_out(frames: Iterable[Frame], sights: BestSights) -> tuple[dict[int, bytes], bytes | None]:
    """JPEG data of each track, and of the frame with the most persons; frames are decoded as far as they are needed."""
    wanted: dict[int, list[int]] = {sights.poster: []}
    for track_id, sight in sights.found.items():
        wanted.setdefault(sight.frame, []).append(track_id)
    pictures: dict[int, bytes] = {}
    poster, last = None, max(wanted)
    for frame in frames:
        for track_id in wanted.get(frame.index, ()):
            pictures[track_id] = jpeg(_crop(frame.image, sights.found[track_id].box), HEIGHT_PX, WIDTH_PX)
        if frame.index == sights.poster:
            poster = jpeg(frame.image, POSTER_PX, POSTER_PX)
        if frame.index >= last:
            break
    return pictures, poster


def jpeg(image: Array, most_height: int, most_width: int) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG of at most that size."""
    height, width = image.shape[:2]
    scale = min(1.0, most_height / height, most_width / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()


def _crop(image: Array, box: tuple[float, float, float, float]) -> Array:
    """The person with a margin; of a box that lies outside, one pixel."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    margin = MARGIN * max(x2 - x1, y2 - y1)
    left, top = (int(np.clip(side - margin, 0, most - 1)) for side, most in ((x1, width), (y1, height)))
    right, bottom = (int(np.clip(side + margin, low + 1, most)) for side, low, most in ((x2, left, width), (y2, top, height)))
    return image[top:bottom, left:right]

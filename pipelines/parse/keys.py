"""Which frames go through the networks: every N-th, or those in which persons have moved."""

from __future__ import annotations

from typing import Annotated, Protocol

import cv2
import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.types import Array, Detections, Frame

MOST_FRAMES_BETWEEN = 100  # frames between key frames wait in memory for the next one
SEEN_PX = 256  # longer side of the picture that motion is looked for in
MARGIN = 0.25  # of a person's box that is looked at around it: it is of a key frame that lies some way back
KEYS_A_GROUP = 2
LEAST_PX = 4  # sides of what is looked at


@config
class MotionKeys:
    """Key frames by motion: the next is where brightness has changed enough inside the box of a person, or anywhere if there is none.

    Args:
        least, most: frames from a key frame to the next, at least and at most.
        change: mean over a box, of 255, since the last key frame.
    """

    least: Annotated[int, Field(ge=1, le=MOST_FRAMES_BETWEEN)] = 2
    most: Annotated[int, Field(ge=1, le=MOST_FRAMES_BETWEEN)] = 6
    change: Annotated[float, Field(gt=0, le=255)] = 5.0

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"least {self.least}, expected at most `most`, which is {self.most}")


class KeyFrames(Protocol):
    """Chooses among frames in display order.

    `most_keys` bounds the key frames that are chosen before it is told of persons again: those of the group before last, which
    has gone through the networks by then, however fast these are. None where persons do not matter.
    """

    most_keys: int | None

    def __call__(self, frame: Frame) -> bool: ...

    def saw(self, persons: Detections) -> None:
        """The persons of the key frame that has gone through the networks last."""


class EveryNth:
    most_keys: int | None = None

    def __init__(self, every: int) -> None:
        self.every, self._next = every, 0

    def __call__(self, frame: Frame) -> bool:
        """Every N-th frame, and of a live source, whose frames may be lost, the first one that is at least N later."""
        is_key = frame.index >= self._next
        self._next = frame.index + self.every if is_key else self._next
        return is_key

    def saw(self, persons: Detections) -> None: ...


class WhereMoved:
    most_keys: int | None = KEYS_A_GROUP

    def __init__(self, options: MotionKeys) -> None:
        self.options = options
        self._last: tuple[int, Array] | None = None  # index and picture of the last key frame
        self._boxes = np.zeros((0, 4), np.int64)
        self._scale = 1.0

    def __call__(self, frame: Frame) -> bool:
        seen = self._seen(frame)
        if self._last is not None:
            since = frame.index - self._last[0]
            if since < self.options.least or (since < self.options.most and self._change(seen) < self.options.change):
                return False
        self._last = frame.index, seen
        return True

    def saw(self, persons: Detections) -> None:
        margin = MARGIN * (persons.xyxy[:, 2:] - persons.xyxy[:, :2])
        widened = np.concatenate([persons.xyxy[:, :2] - margin, persons.xyxy[:, 2:] + margin], 1) * self._scale
        self._boxes = np.concatenate([np.floor(widened[:, :2]), np.ceil(widened[:, 2:])], 1).astype(np.int64)

    def _seen(self, frame: Frame) -> Array:
        """The picture in grey, small, and without most of its noise."""
        height, width = frame.image_hw
        self._scale = min(1.0, SEEN_PX / max(height, width))
        size = max(1, round(width * self._scale)), max(1, round(height * self._scale))
        small = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.blur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (3, 3)))

    def _change(self, seen: Array) -> float:
        assert self._last is not None
        changed = cv2.absdiff(seen, self._last[1])
        inside = [changed[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] for x1, y1, x2, y2 in self._boxes.tolist()]
        found = [float(part.mean()) for part in inside if min(part.shape) >= LEAST_PX]
        return max(found) if found else float(changed.mean())


def key_frames(every: int | MotionKeys) -> KeyFrames:
    """A chooser for one video."""
    return EveryNth(every) if isinstance(every, int) else WhereMoved(every)

"""Frames from the memory of a program, as a video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from numbers import Real

import numpy as np

from parsing.errors import InputError
from parsing.types import Array, Completeness, Frame, VideoFacts

MOST_SECONDS, MOST_FPS = 1e9, 1e6


class ArraySource:
    """Arrays or `Frame`s from memory; a `parsing.media.sources.Source`.

    Frames of a sequence can be asked for. Those of any other iterable come once, and are taken one by one as they are
    needed. Every image is copied, so a program may write the next one into the same array.

    Args:
        given: (H, W, 3) uint8 RGB arrays of one size, or `Frame`s, which keep their times and are numbered anew.
        fps: arrays a second; `Frame`s do not need it.
        name: of the video.

    Raises:
        InputError: there is no frame, a frame is not as described, or `fps` is missing or out of range. Frames after the
            first one are checked when they come.
    """

    is_live = False

    def __init__(self, given: Iterable[Array | Frame], fps: float | None = None, name: str = "frames") -> None:
        self.complete: Completeness = "unknown"
        self._name, self._fps, self._frames_read = name, _checked_fps(fps, name), 0
        self._sequence = given if isinstance(given, Sequence | np.ndarray) else None
        try:
            coming = iter(given)
        except TypeError:
            raise InputError(f"{name}: {_kind(given)}, expected an iterable of arrays") from None
        first = list(islice(coming, 1))
        if not first:
            raise InputError(f"{name}: no frames, expected at least one")
        self._image_hw: tuple[int, int] | None = None
        self._first = self._last = self._frame(0, first[0])
        self._image_hw = self._first.image_hw
        self._given = chain(first, coming) if self._sequence is None else given
        if self._sequence is not None:
            self._last = self._frame(len(self._sequence) - 1, self._sequence[-1])

    @property
    def num_frames(self) -> int | None:
        """None where frames come once."""
        return None if self._sequence is None else len(self._sequence)

    @property
    def facts(self) -> VideoFacts:
        """What is known so far; where frames come once, the duration and, of `Frame`s without `fps`, the rate are those until now."""
        height, width = self._first.image_hw
        span_s = self._last.time_s - self._first.time_s
        fps = self._fps or (self._last.index / span_s if span_s > 0 else 0.0)
        duration_s = span_s + 1 / fps if fps else 0.0
        return VideoFacts(self._name, width, height, 0, fps, duration_s, self.num_frames, self._frames_read, 0)

    def frames(self) -> Iterator[Frame]:
        """All frames in the order in which they are given.

        Raises:
            InputError: a frame is not like the first one or not later than the one before, or frames that come once were
                read before.
        """
        if self._sequence is None and self._frames_read:
            raise InputError(f"{self._name}: read before, and its frames come only once")
        before_s = -math.inf
        for index, item in enumerate(self._given):
            frame = self._frame(index, item)
            if frame.time_s <= before_s:
                raise InputError(f"{self._name}: frame {index}: at {frame.time_s} s, expected a time after {before_s} s")
            before_s, self._frames_read = frame.time_s, index + 1
            if index > self._last.index:
                self._last = frame
            yield frame
        self.complete = True

    def at(self, indices: Iterable[int]) -> dict[int, Frame]:
        """The frame of each index; beyond the last one, that last one.

        Raises:
            InputError: frames come once.
        """
        if self._sequence is None:
            raise InputError(f"{self._name}: frames come only once, expected a sequence of them")
        places = {int(index): min(int(index), len(self._sequence) - 1) for index in indices}
        return {index: self._frame(place, self._sequence[place]) for index, place in places.items()}

    def close(self) -> None:
        """Nothing is held open: what makes the frames belongs to the program."""

    def _frame(self, index: int, item: object) -> Frame:
        where = f"{self._name}: frame {index}"
        if isinstance(item, Frame):
            video, time_s, image = item.video, item.time_s, item.image
        else:
            if self._fps is None:
                raise InputError(f"{where}: an array has no time of its own, expected fps")
            video, time_s, image = self._name, index / self._fps, _checked_image(item, where)
        if image.shape[:2] != (self._image_hw or image.shape[:2]):
            raise InputError(f"{where}: (H, W) is {image.shape[:2]}, expected {self._image_hw} as of the first frame")
        if not 0 <= time_s <= MOST_SECONDS:
            raise InputError(f"{where}: at {time_s} s, expected seconds from the first frame, up to {MOST_SECONDS:.0f}")
        return Frame(video, index, time_s, np.array(image, order="C"))


def _checked_image(image: object, where: str) -> Array:
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
        return image
    raise InputError(f"{where}: {_kind(image)}, expected a uint8 array (H, W, 3)")


def _checked_fps(fps: float | None, name: str) -> float | None:
    if fps is None:
        return None
    if isinstance(fps, bool) or not isinstance(fps, Real) or not 0 < fps <= MOST_FPS:
        raise InputError(f"{name}: fps: {fps!r:.60}, expected a number above 0 and at most {MOST_FPS:.0f}")
    return float(fps)


def _kind(value: object) -> str:
    return f"{value.dtype} array {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__

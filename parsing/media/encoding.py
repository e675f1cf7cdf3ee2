"""Writing video: H.264 in mp4, frames at their own times."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from parsing.errors import InputError
from parsing.files import atomic
from parsing.types import Array

TIME_BASE = Fraction(1, 90_000)
CONSTANT_RATE_FACTOR = "20"  # visually clean; text and thin lines survive


class VideoWriter:
    """An mp4 that appears whole when the block ends well, and not at all when it does not.

    Args:
        image_hw: size of the pictures; odd sizes gain a repeated row or column, which H.264's 4:2:0 needs.
        fps: nominal rate for players; frames keep their own times.
        keeps: write fragments, which play without an end, and keep those that were written when the block ends in a failure.

    Raises:
        InputError: at exit, where no picture was added.
    """

    def __init__(self, path: Path, image_hw: tuple[int, int], fps: float, keeps: bool = False) -> None:
        self.path, self.image_hw, self.fps, self.keeps = path, image_hw, fps, keeps
        self._stack = ExitStack()
        self._last = -1

    def __enter__(self) -> VideoWriter:
        temporary = self._stack.enter_context(atomic(self.path))
        # Over the network a player can start before it has all: the index goes first.
        flags = "+frag_keyframe+empty_moov+default_base_moof" if self.keeps else "+faststart"
        self._container = av.open(str(temporary), "w", format="mp4", options={"movflags": flags})
        self._stack.callback(self._container.close)
        rate = Fraction(self.fps).limit_denominator(1001) if self.fps > 0 else Fraction(25)
        # No B-frames: reordered times would make the muxer tell a wrong duration for variable rates.
        options = {"crf": CONSTANT_RATE_FACTOR, "preset": "veryfast", "bf": "0"}
        self._stream = self._container.add_stream("libx264", rate=rate, options=options)
        height, width = self.image_hw
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TIME_BASE
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            if failure[0] is None:
                if self._last < 0:
                    raise InputError(f"{self.path}: no frame to write")
                for packet in self._stream.encode(None):
                    self._container.mux(packet)
                self._container.close()
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        if self.keeps and failure[0] is not None and self._last >= 0:
            with suppress(av.error.FFmpegError, OSError):
                self._container.close()
            failure = (None, None, None)
        self._stack.__exit__(*failure)  # type: ignore[arg-type]

    def add(self, picture: Array, time_s: float) -> None:
        """Append an (H, W, 3) uint8 RGB picture that is shown from `time_s` on."""
        height, width = picture.shape[:2]
        padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") if height % 2 or width % 2 else picture
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        self._last = max(self._last + 1, round(time_s / TIME_BASE))
        frame.pts, frame.time_base = self._last, TIME_BASE
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

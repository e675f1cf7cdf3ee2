"""Video decoding: frame by frame with presentation times, in display orientation, in bounded memory.

Files are opened as streams of bytes, so that nothing in a file can name another one; demuxers that exist to do so
(playlists, concatenation) are not on the list either.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import av
import av.error
import av.logging
import cv2
import numpy as np

from parsing.errors import InputError
from parsing.files import text_name
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.types import Array, Frame, VideoFacts

FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,ivf,m4v,mjpeg,dv,y4m"
# Formats whose header says how long the video is, so that an early end can be noticed.
DURATION_IN_HEADER = ("matroska", "flv", "asf", "avi")
THREADED_PIXELS = 320 * 240
MAX_PIXELS = 8192 * 8192
MAX_ERRORS_IN_A_ROW = 1000

av.logging.set_level(None)  # damaged files are reported by this module, not by FFmpeg on stderr


class VideoReader:
    """Iterates over the `Frame`s of a video file, or over the one frame of an image.

    `facts` is known at once; its `frames_decoded` and `decode_errors` are final after the last frame. A damaged
    file yields what can be decoded.

    Raises:
        InputError: at entry, where the file is missing, is not of a known format or holds no video; while iterating,
            where not a single frame can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.facts = _empty_facts(self.path)

    def __enter__(self) -> VideoReader:
        _check_regular_file(self.path)
        self._file: IO[bytes] | None = None
        if self.path.suffix.lower() in IMAGE_SUFFIXES:
            self._image = _read_still(self.path)
            height, width = self._image.shape[:2]
            self.facts = replace(self.facts, width=width, height=height, frames_declared=1)
            return self
        self._file = self.path.open("rb")
        try:
            self._container = _open(self._file, self.path)
            self._stream = self._container.streams.video[0]
            self.facts = _read_facts(self.path, self._container, self._stream)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._container.close()
            self._file.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, wanted: frozenset[int] | None = None) -> Iterator[Frame]:
        """The frames in display order; with `wanted`, those of these indices, and no decoding after the last."""
        if self._file is None:
            self.facts = replace(self.facts, frames_decoded=1)
            yield Frame(text_name(self.path), 0, 0.0, self._image)
            return
        last = max(wanted) if wanted else None
        turns: int | None = None
        clock = _Clock(float(self._stream.time_base or 0), self.facts.fps)
        for index, picture in enumerate(self._pictures()):
            time_s = clock.read(picture.pts)
            self.facts = replace(self.facts, frames_decoded=index + 1)
            if turns is None:
                turns = self._orient(picture)
            if wanted is None or index in wanted:
                yield Frame(text_name(self.path), index, time_s, _pixels(picture, turns, (self.facts.height, self.facts.width)))
            if index == last:
                return
        if self.facts.frames_decoded == 0:
            raise InputError(f"{self.path}: damaged: no frame can be decoded ({self.facts.decode_errors} errors)")
        self._note_early_end(clock)

    def count_packets(self) -> int:
        """Coded frames up to the end or the first damage of the container; uses the reader up."""
        if self._file is None:
            return 1
        count: int = 0
        try:
            for packet in self._container.demux(self._stream):
                count += 1 if packet.size else 0
        except (av.error.FFmpegError, OSError):
            self._count_error()
        return count

    def _orient(self, picture: av.VideoFrame) -> int:
        """Quarter turns counter-clockwise to display orientation; the facts take the size that is displayed."""
        rotation = int(picture.rotation)  # counter-clockwise
        turns = round(rotation / 90) % 4
        height, width = (picture.width, picture.height) if turns % 2 else (picture.height, picture.width)
        self.facts = replace(self.facts, width=width, height=height, rotation=-rotation % 360)
        return turns

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures; counts the packets and pictures that are lost or damaged."""
        packets = self._container.demux(self._stream)
        in_a_row = 0
        while in_a_row < MAX_ERRORS_IN_A_ROW:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError):
                self._count_error()
                return
            try:
                pictures = packet.decode()
                in_a_row = 0
            except av.error.FFmpegError:
                self._count_error()
                in_a_row += 1
                continue
            for picture in pictures:
                if picture.is_corrupt:
                    self._count_error()
                yield picture

    def _count_error(self) -> None:
        self.facts = replace(self.facts, decode_errors=self.facts.decode_errors + 1)

    def _note_early_end(self, clock: _Clock) -> None:
        missing_s = self.facts.duration_s - clock.now_s
        tells = any(name in self._container.format.name.split(",") for name in DURATION_IN_HEADER)
        if tells and missing_s > max(1.0, 0.05 * self.facts.duration_s):
            self._count_error()


class _Clock:
    """Seconds since the first frame; frames without a time of their own, or with one that goes back, follow at the mean rate."""

    def __init__(self, time_base_s: float, fps: float) -> None:
        self.time_base_s, self.step_s = time_base_s, 1 / fps if fps > 0 else 0.04
        self.first: int | None = None
        self.now_s = -1.0

    def read(self, pts: int | None) -> float:
        if pts is not None and self.first is None:
            self.first = pts
        time_s = (pts - self.first) * self.time_base_s if pts is not None and self.first is not None else -1.0
        follows = time_s > self.now_s if self.now_s >= 0 else time_s >= 0
        self.now_s = time_s if follows else max(0.0, self.now_s + self.step_s)
        return self.now_s


def probe(path: str | Path) -> VideoFacts:
    """What the file's header says, and the orientation of its first frame.

    Raises:
        InputError: the file cannot be read as a video or an image.
    """
    with VideoReader(path) as reader:
        next(reader.frames(frozenset({0})), None)
        return replace(reader.facts, frames_decoded=0, decode_errors=0)


def count_frames(path: str | Path) -> int:
    """How many coded frames a file holds, found without decoding them; a damaged file may yield fewer.

    Raises:
        InputError: the file cannot be read as a video or an image.
    """
    with VideoReader(path) as reader:
        return reader.count_packets()


def read_frames(path: str | Path, indices: Iterable[int]) -> Iterator[Frame]:
    """Only the frames of these indices, in display order, each once; indices past the end are left out.

    Raises:
        InputError: the file cannot be read as a video or an image.
    """
    wanted = frozenset(int(index) for index in indices)
    if wanted:
        with VideoReader(path) as reader:
            yield from reader.frames(wanted)


def read_nearest(path: str | Path, indices: Iterable[int]) -> dict[int, Frame]:
    """The frame of each index; what a damaged file lacks is replaced by the decoded frame that lies nearest.

    Raises:
        InputError: the file cannot be read, or none of the frames can be decoded.
    """
    wanted = sorted({int(index) for index in indices})
    frames = {frame.index: frame for frame in read_frames(path, wanted)}
    known = np.array(sorted(frames))
    if wanted and not len(known):
        raise InputError(f"{path}: damaged: none of its sampled frames can be decoded")
    return {index: frames[int(known[np.abs(known - index).argmin()])] for index in wanted}


def _empty_facts(path: Path) -> VideoFacts:
    return VideoFacts(text_name(path), 0, 0, 0, 0.0, 0.0, None, 0, 0)


def _check_regular_file(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: not a regular file; expected a video or an image")
    if found.st_size == 0:
        raise InputError(f"{path}: empty file; expected a video or an image")


def _open(file: IO[bytes], path: Path) -> av.container.InputContainer:
    try:
        container = av.open(file, options={"format_whitelist": FORMATS, "protocol_whitelist": "none"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        file.seek(0)
        if file.read(8)[4:] == b"ftyp":
            raise InputError(f"{path}: not a readable video: an MP4 or MOV that is cut off before its index (moov)") from None
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: not a readable video ({reason}); expected one of {FORMATS}") from None
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: holds no video stream")
    context = container.streams.video[0].codec_context
    if context is None:
        container.close()
        raise InputError(f"{path}: no decoder for its video")
    if context.width * context.height > MAX_PIXELS:
        container.close()
        raise InputError(f"{path}: frames of {context.width} x {context.height} pixels; at most {MAX_PIXELS} pixels are read")
    context.options = {"max_pixels": str(MAX_PIXELS)}
    if context.width * context.height < THREADED_PIXELS:  # handing small pictures between threads takes longer than decoding them
        context.thread_count = 1
    else:
        context.thread_type = "AUTO"
    return container


def _read_facts(path: Path, container: av.container.InputContainer, stream: Any) -> VideoFacts:
    rate = stream.average_rate or stream.guessed_rate
    duration_s = 0.0
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / av.time_base
    facts = _empty_facts(path)
    width, height = stream.codec_context.width, stream.codec_context.height
    return replace(
        facts,
        width=width,
        height=height,
        fps=float(rate) if rate else 0.0,
        duration_s=max(0.0, duration_s),
        frames_declared=stream.frames or None,
    )


def _pixels(picture: av.VideoFrame, turns: int, displayed_hw: tuple[int, int]) -> Array:
    """(H, W, 3) uint8 RGB; a picture whose size changes within the video is scaled to the first one's."""
    height, width = displayed_hw[::-1] if turns % 2 else displayed_hw
    image = picture.to_ndarray(format="rgb24", width=width, height=height)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _read_still(path: Path) -> Array:
    """An image in display orientation (EXIF applied), RGB."""
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # more pixels than OpenCV agrees to allocate
        image = None
    if image is None:
        raise InputError(f"{path}: not a readable image")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

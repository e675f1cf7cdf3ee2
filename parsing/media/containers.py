"""Opening container files of strangers: known formats only, no other file or address, one video stream of a bounded size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from parsing.errors import InputError
from parsing.media.boxes import boxes

FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,ivf,m4v,mjpeg,jpeg_pipe,dv,yuv4mpegpipe"
MAX_PIXELS = 8192 * 8192

av.logging.set_level(None)  # damaged files are reported by the callers, not by FFmpeg on stderr


class Cursor:
    """A place in an open file, which several readers of the same file each have for themselves; what PyAV reads from.

    What lies behind `size` bytes is not read.
    """

    def __init__(self, file: VideoFile) -> None:
        self.file, self.size, self.place = file, file.size, 0

    def read(self, num_bytes: int = -1) -> bytes:
        left = max(0, self.size - self.place)
        data = os.pread(self.file.descriptor, left if num_bytes < 0 else min(left, num_bytes), self.place)
        self.place += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        self.place = max(0, origin + offset)
        return self.place

    def tell(self) -> int:
        return self.place


class VideoFile:
    """A regular file, opened once, and closed when nobody holds it any longer.

    Raises:
        InputError: the file is missing, empty or not a regular file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = _open_regular(path)
        self.size = os.fstat(self.descriptor).st_size

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            self.close()

    def cursor(self) -> Cursor:
        """A reader that begins at the file's first byte.

        Raises:
            InputError: the file was closed.
        """
        if self.descriptor < 0:
            raise InputError(f"{self.path}: was closed, expected a video that is open")
        return Cursor(self)


@dataclass(frozen=True, eq=False)
class Opened:
    """A container in reading, the video stream that is meant, and the cursor that it reads from."""

    container: InputContainer
    stream: VideoStream
    cursor: Cursor

    @property
    def formats(self) -> list[str]:
        """FFmpeg's names of the container's format."""
        return self.container.format.name.split(",")


@contextmanager
def opened(file: VideoFile) -> Iterator[Opened]:
    """Open the container of a file from its beginning.

    Raises:
        InputError: it is not of a known format, holds no video that can be decoded, or pictures larger than MAX_PIXELS.
    """
    cursor = file.cursor()
    with _open(cursor, file.path) as container:
        stream = best_stream(container, file.path)
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise InputError(f"{file.path}: frames of {context.width} x {context.height} pixels; at most {MAX_PIXELS} pixels are read")
        yield Opened(container, stream, cursor)


def _open_regular(path: Path) -> int:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # asked first: opening a pipe would wait for its other end
            raise InputError(f"{path}: not a regular file; expected a video or an image")
        if found.st_size == 0:
            raise InputError(f"{path}: empty file; expected a video or an image")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # a null character in the name
        raise InputError(f"{path}: cannot be read ({error})") from None


def _open(cursor: Cursor, path: Path) -> InputContainer:
    try:
        return _demuxer(cursor)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        known = list(boxes(cursor))
        if known and known[0].kind == b"ftyp" and not any(box.kind == b"moov" and box.end <= cursor.size for box in known):
            raise InputError(f"{path}: not a readable video: an MP4 or MOV that is cut off before the end of its index (moov)") from None
        if known and known[0].kind == b"ftyp" and known[-1].kind == b"moof" and known[-1].end > cursor.size:
            cursor.size = known[-1].start  # FFmpeg refuses a file that is cut within the index of a fragment
            return _open(cursor, path)
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: not a readable video ({reason}); expected one of {FORMATS}") from None


def _demuxer(cursor: Cursor) -> InputContainer:
    cursor.seek(0)
    # Titles may be in any encoding, and nothing here depends on them.
    container: InputContainer = av.open(
        cursor, metadata_errors="ignore", options={"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    )
    return container


def best_stream(container: InputContainer, path: Path | str) -> VideoStream:
    """The video that a player would show: no cover art, the default one before others, then the one of most pixels."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path}: holds no video stream{' besides cover art' if container.streams.video else ''}")
    # A stream that FFmpeg has no decoder for has no codec context.
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise InputError(f"{path}: no decoder for its video")
    return max(decodable, key=lambda s: (bool(s.disposition & Disposition.default), s.codec_context.width * s.codec_context.height))

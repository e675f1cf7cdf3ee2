"""One connection to a live source: opened with time limits, read until it ends, is lost, or is no longer wanted."""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from parsing.errors import InputError
from parsing.media.addresses import Address
from parsing.media.containers import MAX_PIXELS, best_stream

if TYPE_CHECKING:
    from parsing.media.playlists import Playlist

OPEN_S, READ_S = 10.0, 5.0  # nothing comes for this long: there is no source, or no longer
LIST_S = 40.0  # the next segment of a playlist may be long in coming; `Playlist` itself tells when it never does
FIRST_PICTURE_S = 15.0  # cameras send a key frame every few seconds; what was asked for later than that never comes
MOST_ERRORS = 20  # in a row, until a connection counts as lost
CHECK_S = 0.1
# What errors of FFmpeg mean for a device, and for a network (None), where their own words do not tell.
MEANINGS = {
    ("x11grab", errno.EINVAL): "no such part of the screen",
    ("x11grab", errno.EIO): "no screen answers",
    ("x11grab", int.from_bytes(b"EXT ", "little")): "the screen is gone",
    ("video4linux2", errno.ENOTTY): "it is no camera",
    ("https", errno.EIO): "no connection, or its certificate is not trusted",
    (None, errno.EIO): "the connection broke off",
    (None, errno.EPERM): "the server refuses",
}
UNTIMED = ("mpjpeg",)  # pictures of a web camera, sent as they are taken
RAW = ("h264", "hevc", "m4v", "mjpeg", "mpegvideo", "jpeg_pipe")  # of which a recording plays at the rate that it tells


class ConnectionLost(Exception):  # noqa: N818  # it is no failure of the program
    """A connection that had worked gives nothing more; the message says why, in words without the address."""


class StandardInput:
    """The standard input as PyAV reads it; ends when `stopped` is set, and cannot be sought in."""

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped, self.descriptor = stopped, sys.stdin.fileno()

    def wait(self) -> None:
        """Wait for the first byte, however long its sender takes."""
        while not self.stopped.is_set() and not select.select([self.descriptor], [], [], CHECK_S)[0]:
            continue

    def read(self, num_bytes: int) -> bytes:
        while not self.stopped.is_set():
            if select.select([self.descriptor], [], [], CHECK_S)[0]:
                return os.read(self.descriptor, num_bytes)
        return b""


class Connection:
    """Pictures of a source that answers.

    `errors` counts what could not be read or decoded. `opened_s` is when it was asked for, on the monotonic clock.
    """

    def __init__(
        self,
        address: Address,
        container: InputContainer,
        stream: VideoStream,
        playlist: Playlist | None,
        opened_s: float,
        stopped: threading.Event,
    ) -> None:
        self.address, self.container, self.stream, self.playlist = address, container, stream, playlist
        self.opened_s, self.stopped = opened_s, stopped
        self.errors = self.packets = 0

    @property
    def is_recorded(self) -> bool:
        """Whether its length is known, by now: its end is the end, and to connect again would begin anew."""
        has_length = self.address.paced and self.container.duration is not None
        return has_length or (self.playlist is not None and self.playlist.has_ended)

    @property
    def is_timed(self) -> bool:
        """Whether its times are those of the filming; raw pictures one after the other have none, and FFmpeg makes them up."""
        name = self.container.format.name
        return name not in UNTIMED and not (name in RAW and not self.address.paced)

    @property
    def fps(self) -> float:
        return float(self.stream.average_rate or self.stream.guessed_rate or 0)

    @property
    def pixel_aspect(self) -> Fraction | None:
        return self.stream.sample_aspect_ratio

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Pictures in display order, until the source ends or `stopped` is set.

        Raises:
            ConnectionLost: it gives nothing more, or nothing but errors.
            InputError: its playlist leads elsewhere.
        """
        in_a_row, given = 0, False
        while not self.stopped.is_set():
            asked_s = time.monotonic()
            try:
                for packet in self.container.demux(self.stream):
                    self.packets += 1
                    self._check_playlist()
                    if self.stopped.is_set():
                        return
                    for picture in self._decoded(packet):
                        in_a_row, given = 0, True
                        yield picture
                    if not given and time.monotonic() > self.opened_s + FIRST_PICTURE_S:
                        raise ConnectionLost(f"no picture in {FIRST_PICTURE_S:.0f} s, of {self.packets} packets: no key frame came")
                    asked_s = time.monotonic()
                self._check_playlist()
                return
            except av.error.FFmpegError as error:
                self._check_playlist()
                in_a_row, self.errors = in_a_row + 1, self.errors + 1
                if not isinstance(error, av.error.InvalidDataError | av.error.BlockingIOError) or in_a_row >= MOST_ERRORS:
                    is_silent = time.monotonic() - asked_s > READ_S  # which RTMP calls an error of input and output
                    raise ConnectionLost("no answer" if is_silent else reason(error, self.address)) from None

    def _check_playlist(self) -> None:
        if self.playlist is not None:
            self.playlist.check()

    def _decoded(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        try:
            pictures: list[av.VideoFrame] = packet.decode()
        except av.error.FFmpegError:
            self.errors += 1
            return []
        return pictures


@contextmanager
def connected(address: Address, stopped: threading.Event, playlist: Playlist | None = None) -> Iterator[Connection]:
    """Connect to a source; to a playlist by what opens it.

    Raises:
        InputError: there is none, it refuses, or it has no video; names the address without its password.
        ConnectionLost: a playlist is not there.
    """
    target: Any = address.url or StandardInput(stopped)
    limits: tuple[float, float] | None = (OPEN_S, READ_S)
    if isinstance(target, StandardInput):
        target.wait()
        limits = None
    if playlist is not None:
        target, limits = playlist.locate(), (LIST_S, LIST_S)
    opened_s = time.monotonic()
    try:
        container: InputContainer = av.open(
            target,
            format=address.input_format,
            options=address.options,
            timeout=limits,
            metadata_errors="ignore",
            io_open=playlist and playlist.open,
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        failure = playlist and playlist.failure
        raise failure or InputError(f"{address}: cannot be opened ({reason(error, address)})") from None
    try:
        if playlist is not None:
            playlist.check()
        stream = best_stream(container, address.name)
        context = stream.codec_context
        if context.width * context.height > MAX_PIXELS:
            raise InputError(f"{address}: frames of {context.width} x {context.height} pixels; at most {MAX_PIXELS} pixels are read")
        context.thread_count = 1  # threads that each hold a frame back would add to the delay
        context.options = {"max_pixels": str(MAX_PIXELS)}
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all  # of a playlist of several qualities, one is fetched
        yield Connection(address, container, stream, playlist, opened_s, stopped)
    finally:
        with suppress(av.error.FFmpegError):
            container.close()


def reason(error: Exception, address: Address) -> str:
    """Why FFmpeg gave up; its messages can hold the address with the password, so only the kind of error is told."""
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return "user name or password is wrong or missing"
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return "no answer"
    if isinstance(error, av.error.InvalidDataError):
        return "no video that can be read"
    kind = address.input_format or ("https" if address.url.lower().startswith("https:") else None)
    if (meaning := MEANINGS.get((kind, getattr(error, "errno", None) or 0))) is not None:
        return meaning
    return getattr(error, "strerror", None) or type(error).__name__

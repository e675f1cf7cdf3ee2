"""Decoded pictures of a file, the same ones on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any, cast

import av
import av.error

from parsing.errors import InputError
from parsing.media.containers import MAX_PIXELS, VideoFile, opened
from parsing.media.packets import packets


class Decoder:
    """Decodes a file from its beginning, in one thread.

    FFmpeg's threads lose damaged pictures with their errors, and what becomes of those that refer to them depends on their
    number and on chance. Networks take longer than decoding, which runs beside them.

    `errors` counts packets and pictures that are lost or damaged; `concealed` is whether the decoder objected to something
    but showed all the same. Both are final after the last picture. `pixel_aspect`, the width of a pixel over its height, is
    known from the first one on.
    """

    def __init__(self, file: VideoFile) -> None:
        self.file, self.errors, self.concealed = file, 0, False
        self.pixel_aspect: Fraction | None = None

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Pictures in display order.

        Raises:
            InputError: not a single picture can be decoded.
        """
        given = 0
        try:
            for picture in self._decode(strict=True):
                given += 1
                yield picture
            if given:
                return
        except (av.error.FFmpegError, OSError, IndexError):
            self.concealed = True
        yield from islice(self._decode(strict=False), given, None)

    def first(self) -> av.VideoFrame:
        """The first picture that can be decoded. Raises InputError as `pictures` does."""
        return next(self._decode(strict=False))

    def _decode(self, strict: bool) -> Iterator[av.VideoFrame]:
        """Whatever can be decoded; if `strict`, up to the first error, which is raised."""
        found = False
        with opened(self.file) as source:
            context = source.stream.codec_context
            context.thread_count = 1
            context.options = {"max_pixels": str(MAX_PIXELS)} | ({"err_detect": "explode"} if strict else {})
            self.pixel_aspect = source.stream.sample_aspect_ratio
            note = _refuse if strict else self._count
            for packet in packets(source, note):
                for picture in _pictures(packet, note):
                    found = True
                    if picture.is_corrupt:
                        note(av.error.InvalidDataError(0, "a picture is damaged"))
                    yield picture
        if not found and not strict:
            lost = f"damaged: no frame can be decoded ({self.errors} errors)" if self.errors else "holds no frame"
            raise InputError(f"{self.file.path}: {lost}")

    def _count(self, _: Exception) -> None:
        self.errors += 1


def _refuse(error: Exception) -> None:
    raise error


def _pictures(packet: av.Packet[Any], note: Callable[[Exception], None]) -> list[av.VideoFrame]:
    try:
        return cast("list[av.VideoFrame]", packet.decode())
    except av.error.FFmpegError as error:
        note(error)
        return []

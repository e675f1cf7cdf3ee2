"""Videos from files: facts, frames with presentation times in display orientation, frames at indices; in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType

import av

from parsing.files import text_name
from parsing.media.clock import Clock
from parsing.media.completeness import completeness
from parsing.media.containers import VideoFile
from parsing.media.decoding import Decoder
from parsing.media.packets import Survey, survey
from parsing.media.pixels import Display, picture_display
from parsing.types import Completeness, Frame, VideoFacts


class Video:
    """A video file, opened once; a `parsing.media.sources.Source`. A damaged file yields what can be decoded.

    The file is closed at the end of a `with` block, or when nobody holds the video any longer. `complete` says whether the whole
    video was decoded once `frames` has come to its end, see `parsing.media.completeness`.

    Raises:
        InputError: the file is missing, is not of a known format, holds no video, or no frame of it can be decoded.
    """

    is_live = False

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = VideoFile(self.path)
        self._frames_decoded = self._decode_errors = 0
        self.complete: Completeness = "unknown"
        self._display = self._first_display()

    def _first_display(self) -> Display:
        decoder = Decoder(self._file)
        try:
            return picture_display(decoder.first(), decoder.pixel_aspect)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Video:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; frames can no longer be asked for."""
        self._file.close()

    @cached_property
    def _survey(self) -> Survey:
        return survey(self._file)

    @property
    def facts(self) -> VideoFacts:
        """What is known so far; the numbers of decoded frames and errors are final after the last frame."""
        display, found = self._display, self._survey
        return VideoFacts(
            text_name(self.path),
            display.width,
            display.height,
            display.orientation.rotation,
            found.fps,
            found.duration_s,
            found.frames_declared,
            self._frames_decoded,
            self._decode_errors,
            display.orientation.mirrored,
            display.pixel_aspect,
            display.hdr,
        )

    @property
    def num_frames(self) -> int:
        """How many coded frames are shown, counted without decoding them; of a damaged file, those that are left."""
        return self._survey.num_frames

    def frames(self) -> Iterator[Frame]:
        """All frames in display order, from the first one each time."""
        decoder = Decoder(self._file)
        for index, (picture, time_s) in enumerate(self._timed(decoder)):
            self._frames_decoded, self._decode_errors = index + 1, decoder.errors
            yield self._frame(index, picture, time_s)
        self._decode_errors, self.complete = decoder.errors, self._completeness(decoder)

    def _completeness(self, decoder: Decoder) -> Completeness:
        whole = False if decoder.errors else completeness(self._file, self._survey)
        return "unknown" if whole is True and decoder.concealed else whole

    def at(self, indices: Iterable[int]) -> dict[int, Frame]:
        """The frame of each index; beyond the last one that can be decoded, that last one."""
        wanted = {int(index) for index in indices}
        found: dict[int, Frame] = {}
        if not wanted:
            return found
        last = max(wanted)
        for index, (picture, time_s) in enumerate(self._timed(Decoder(self._file))):
            if index in wanted:
                found[index] = self._frame(index, picture, time_s)
            if index == last:
                return found
        nearest = found.get(index) or self._frame(index, picture, time_s)
        return {number: found.get(number, nearest) for number in wanted}

    def _frame(self, index: int, picture: av.VideoFrame, time_s: float) -> Frame:
        return Frame(text_name(self.path), index, time_s, self._display.image(picture))

    def _timed(self, decoder: Decoder) -> Iterator[tuple[av.VideoFrame, float]]:
        clock = Clock(self._survey.time_base_s, self._survey.fps)
        for picture in decoder.pictures():
            yield picture, clock.read(picture.pts)

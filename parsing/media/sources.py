"""What frames come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from parsing.media.stills import Still
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.media.video import Video
from parsing.types import Completeness, Frame, VideoFacts


class Source(Protocol):
    """Frames of one video, and what is known of it: a file, an image, or frames from memory.

    `facts` is known at once; what only the last frame can tell, as `frames_decoded`, and `complete` are final after it.
    `complete` says whether the whole video was decoded, and is `unknown` where nothing in the file could tell. A source that
    `is_live` waits for nobody: frames that are not asked for in time are lost, so nothing may hold the next one up.
    """

    complete: Completeness

    @property
    def is_live(self) -> bool: ...

    @property
    def facts(self) -> VideoFacts: ...

    @property
    def num_frames(self) -> int | None:
        """How many frames there are, counted without decoding them; of a damaged file, those that are left.

        None where frames come once and in order, so that nobody can count them or ask for one before it comes.
        """
        ...

    def frames(self) -> Iterator[Frame]:
        """All frames in display order, from the first one each time; only once where `num_frames` is None."""
        ...

    def at(self, indices: Iterable[int]) -> dict[int, Frame]:
        """The frame of each index; beyond the last one that can be decoded, that last one. Not where `num_frames` is None."""
        ...

    def close(self) -> None: ...


def open_source(path: str | Path) -> Video | Still:
    """Open a video, or an image as a video of one frame.

    Raises:
        InputError: the file is missing, is not of a known format, holds no video, or no frame of it can be decoded.
    """
    path = Path(path)
    return Still(path) if path.suffix.lower() in IMAGE_SUFFIXES else Video(path)

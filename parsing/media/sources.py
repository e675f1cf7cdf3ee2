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
    """Frames of one video, and what is known of it.

    `facts` is known at once; its `frames_decoded` and `decode_errors`, and `complete`, are final after the last frame.
    `complete` says whether the whole video was decoded, and is `unknown` where nothing in the file could tell.
    """

    path: Path
    complete: Completeness

    @property
    def facts(self) -> VideoFacts: ...

    @property
    def num_frames(self) -> int:
        """How many coded frames are shown, counted without decoding them; of a damaged file, those that are left."""
        ...

    def frames(self) -> Iterator[Frame]:
        """All frames in display order, from the first one each time."""
        ...

    def at(self, indices: Iterable[int]) -> dict[int, Frame]:
        """The frame of each index; beyond the last one that can be decoded, that last one."""
        ...

    def close(self) -> None: ...


def open_source(path: str | Path) -> Source:
    """Open a video, or an image as a video of one frame.

    Raises:
        InputError: the file is missing, is not of a known format, holds no video, or no frame of it can be decoded.
    """
    path = Path(path)
    return Still(path) if path.suffix.lower() in IMAGE_SUFFIXES else Video(path)

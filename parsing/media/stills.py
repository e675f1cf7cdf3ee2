"""An image as a video of one frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from parsing.files import text_name
from parsing.media.images import read_image
from parsing.types import Completeness, Frame, VideoFacts


class Still:
    """The one frame of an image file; a `parsing.media.sources.Source`.

    Raises:
        InputError: the file is missing, no image, cut off, or too large.
    """

    complete: Completeness = True
    num_frames = 1
    is_live = False

    def __init__(self, path: Path) -> None:
        self._image = read_image(path)
        height, width = self._image.shape[:2]
        self.facts = VideoFacts(text_name(path), width, height, 0, 0.0, 0.0, 1, 1, 0)

    def frames(self) -> Iterator[Frame]:
        yield Frame(self.facts.name, 0, 0.0, self._image)

    def at(self, indices: Iterable[int]) -> dict[int, Frame]:
        return {int(index): frame for index in indices for frame in self.frames()}

    def close(self) -> None:
        """Nothing is held open."""

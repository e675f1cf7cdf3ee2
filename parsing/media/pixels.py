"""From decoded pictures to what a viewer sees: upright, with square pixels, in standard dynamic range."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from parsing.media.images import MAX_SIDE_PX
from parsing.media.orientation import Orientation, picture_orientation
from parsing.media.tone_mapping import CURVES, Hdr, to_sdr
from parsing.types import Array

MAX_PIXEL_ASPECT = 8  # no camera or disc has longer pixels: above it the file is wrong


@dataclass(frozen=True)
class Display:
    """How the pictures of a video are shown.

    Args:
        stored_hw: size that stored pictures are scaled to, so that their pixels are square.
        pixel_aspect: width of a stored pixel over its height.
        hdr: the curve that is tone-mapped; None for standard dynamic range.
    """

    stored_hw: tuple[int, int]
    orientation: Orientation
    pixel_aspect: float
    hdr: Hdr | None

    @property
    def height(self) -> int:
        return self.orientation.displayed_hw(*self.stored_hw)[0]

    @property
    def width(self) -> int:
        return self.orientation.displayed_hw(*self.stored_hw)[1]

    def image(self, picture: av.VideoFrame) -> Array:
        """(H, W, 3) uint8 RGB; a picture whose size changes within the video is scaled to the first one's."""
        height, width = self.stored_hw
        if self.hdr is None:
            return self.orientation.apply(picture.to_ndarray(format="rgb24", width=width, height=height))
        return self.orientation.apply(to_sdr(picture.to_ndarray(format="rgb48le", width=width, height=height), self.hdr))


def picture_display(picture: av.VideoFrame, pixel_aspect: Fraction | None) -> Display:
    """How a video is shown whose first picture is this one."""
    height, width = picture.height, picture.width
    aspect = Fraction(pixel_aspect or 1)
    grown = grown_hw(height, width, aspect)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT or max(grown) > MAX_SIDE_PX:
        aspect, grown = Fraction(1), (height, width)
    return Display(grown, picture_orientation(picture), float(aspect), CURVES.get(picture.color_trc))


def grown_hw(height: int, width: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Size with square pixels: the side that is too short grows, as the HTML standard says of its videos."""
    if pixel_aspect >= 1:
        return height, round(width * pixel_aspect)
    return round(height / pixel_aspect), width

"""How stored pictures are turned and mirrored for display."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.sidedata.sidedata import Type

from parsing.types import Array


@dataclass(frozen=True)
class Orientation:
    """From stored to displayed pixels: rows and columns change places where `transposed`, then sides are flipped."""

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether left and right change places, besides any turn."""
        return self.transposed ^ self.flipped_x ^ self.flipped_y

    @property
    def rotation(self) -> int:
        """Degrees clockwise, after the mirroring of left and right where there is one."""
        if self.transposed:
            # Right, or after mirroring left, becomes down unless it is flipped to up.
            return 270 if self.flipped_y ^ self.mirrored else 90
        return 180 if self.flipped_y else 0

    def displayed_hw(self, height: int, width: int) -> tuple[int, int]:
        return (width, height) if self.transposed else (height, width)

    def turn_points(self, points: Array, displayed_hw: tuple[int, int]) -> Array:
        """(N, 2) x, y in pixels of the stored picture as x, y of the displayed one."""
        height, width = displayed_hw
        x, y = points[:, ::-1].T if self.transposed else points.T
        return np.stack([width - x if self.flipped_x else x, height - y if self.flipped_y else y], 1).astype(np.float32)

    def apply(self, image: Array) -> Array:
        """Turn an (H, W, C) image as stored into the displayed one."""
        if self == Orientation():
            return image
        image = image.swapaxes(0, 1) if self.transposed else image
        return np.ascontiguousarray(image[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1])


EXIF_ORIENTATIONS = {  # by the value of the tag
    1: Orientation(),
    2: Orientation(False, True, False),
    3: Orientation(False, True, True),
    4: Orientation(False, False, True),
    5: Orientation(True, False, False),
    6: Orientation(True, True, False),
    7: Orientation(True, True, True),
    8: Orientation(True, False, True),
}


def picture_orientation(picture: av.VideoFrame) -> Orientation:
    """What the display matrix of a picture says, to the nearest quarter turn.

    The matrix is that of ISO/IEC 14496-12 (tkhd): displayed x = a x + c y, displayed y = b x + d y.
    """
    data = picture.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return Orientation()
    a, b, _, c, d = (float(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, c < 0, b < 0)
    return Orientation(False, a < 0, d < 0)

"""Test-time views of a video: which frames, in which order, cut how, mirrored or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from parsing.configs import config
from parsing.types import Array
from recognizers.clips.frame_sampling import Dense, Sampling

Crop = Literal["squeeze", "whole", "centre", "left", "right", "random"]
Order = Literal["forward", "reverse", "both"]
MOST_ASPECT = 4 / 3
SMALLEST_CROP = 0.8  # of the short side, for random crops


@config
class View:
    """One way to look at a video; several are averaged.

    Args:
        clips: how many clips are spread over the video.
        crop: `squeeze`, the middle at most 4:3 wide scaled to a square; `whole`, all of it scaled; the `centre` square, or
            the one at the `left` or `right` (top or bottom of upright videos), which with the centre are the three crops;
            or a `random` one.
        flip: mirrored.
        order: as played, `reverse`, or `both`: the video followed by itself reversed.
        interval: frames between two of a dense clip; None takes the network's.
    """

    clips: Annotated[int, Field(ge=1, le=256)] = 1
    crop: Crop = "squeeze"
    flip: bool = False
    order: Order = "forward"
    interval: Annotated[int, Field(ge=1, le=1024)] | None = None

    def sample(self, sampling: Sampling, num_frames: int) -> list[Array]:
        """Frame indices of each clip.

        Raises:
            ValueError: there is no frame.
        """
        if self.interval is not None and isinstance(sampling, Dense):
            sampling = replace(sampling, interval=self.interval)
        length = 2 * num_frames if self.order == "both" else num_frames
        clips = sampling.for_test(length, self.clips)
        if self.order == "reverse":
            return [clip[::-1] for clip in clips]
        return [np.where(clip < num_frames, clip, 2 * num_frames - 1 - clip) for clip in clips]

    def pixels(self, images: Sequence[Array], size: int) -> Array:
        """(T, size, size, 3) uint8 of the (H, W, 3) images of a clip."""
        if self.crop == "random":  # the same for every clip of this length, so results repeat
            windows = [random_window(image, np.random.default_rng(len(images))) for image in images]
        else:
            windows = [window(image, self.crop) for image in images]
        scaled = np.stack([scale(part, size) for part in windows])
        return scaled[:, :, ::-1] if self.flip else scaled


def window(image: Array, crop: Crop) -> Array:
    """The part of an image that a crop looks at."""
    height, width = image.shape[:2]
    if crop in ("squeeze", "whole"):
        crop_h, crop_w = limits(height, width, crop)
    else:
        crop_h = crop_w = min(height, width)
    share = {"left": 0.0, "right": 1.0}.get(crop, 0.5)
    top, left = int((height - crop_h) * share), int((width - crop_w) * share)
    return image[top : top + crop_h, left : left + crop_w]


def limits(height: int, width: int, crop: Literal["squeeze", "whole"]) -> tuple[int, int]:
    """Height and width of what is looked at."""
    if crop == "whole":
        return height, width
    return min(height, round(width * MOST_ASPECT)), min(width, round(height * MOST_ASPECT))


def random_window(image: Array, random: np.random.Generator) -> Array:
    """A square of at least 0.8 of the short side, anywhere."""
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * random.uniform(SMALLEST_CROP, 1)))
    top, left = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
    return image[top : top + side, left : left + side]


def scale(image: Array, size: int) -> Array:
    """(size, size, 3) of any image."""
    if min(image.shape[:2]) > size:
        return shrunk(image, (size, size))
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR))


def with_short_side(image: Array, short_px: int) -> Array:
    """An image whose short side has this length; 0 leaves it."""
    height, width = image.shape[:2]
    factor = short_px / min(height, width)
    if short_px == 0 or factor == 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return shrunk(image, size) if factor < 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))


def shrunk(image: Array, size: tuple[int, int]) -> Array:
    """Averages of an image, as many as a width and a height; of large ones by halves first, in a third of the time."""
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1] and not (image.shape[0] % 2 or image.shape[1] % 2):
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))

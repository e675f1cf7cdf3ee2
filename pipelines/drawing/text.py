"""Text on pictures, in a font that knows more than ASCII and is legible when it is small."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from parsing.console import printable
from parsing.types import Array
from pipelines.drawing.colours import Colour

_FONT = Path("mpl-data", "fonts", "ttf", "DejaVuSans.ttf")  # comes with matplotlib
SMALLEST_PX = 9  # below, letters run together


@lru_cache(maxsize=64)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    spec = find_spec("matplotlib")  # where it lies; it is not loaded
    folders = [] if spec is None else spec.submodule_search_locations or []
    return ImageFont.truetype(str(next(Path(folder) / _FONT for folder in folders)), size_px)


def text_width(text: str, size_px: int) -> int:
    """Width in pixels."""
    return int(_mask(text, size_px).shape[1])


def line_height(size_px: int) -> int:
    """Height of a line in pixels, with what hangs below it."""
    return round(1.3 * size_px)


@lru_cache(maxsize=4096)
def _mask(text: str, size_px: int) -> Array:
    """(H, W, 1) share of each pixel that the text covers; one line, `line_height` high."""
    font = _font(size_px)
    width = max(1, int(np.ceil(font.getlength(printable(text)))))
    picture = Image.new("L", (width, line_height(size_px)))
    ImageDraw.Draw(picture).text((0, round(1.02 * size_px)), printable(text), fill=255, font=font, anchor="ls")
    return (np.asarray(picture, np.float32) / 255)[..., None]


def write(image: Array, text: str, place: tuple[int, int], size_px: int, colour: Colour) -> None:
    """Write a line whose left top corner is `place`; what lies outside of the picture is left out."""
    mask, (x, y) = _mask(text, size_px), place
    left, top = max(0, x), max(0, y)
    mask = mask[top - y : image.shape[0] - y, left - x : image.shape[1] - x]
    if not mask.size:
        return
    under = image[top : top + mask.shape[0], left : left + mask.shape[1]]
    under[:] = under + mask * (np.array(colour, np.float32) - under)


def fitted(text: str, width: int, size_px: int) -> str:
    """The text, or as much of its beginning as is no wider, with `…`."""
    if text_width(text, size_px) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        if text_width(shorter := text[:length].rstrip() + "…", size_px) <= width:
            return shorter
    return ""


def clock(seconds: float) -> str:
    """`0:09.5`, `1:02:03.0`."""
    minutes, rest = divmod(round(max(0.0, seconds) * 10), 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"

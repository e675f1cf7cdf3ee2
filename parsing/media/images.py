"""Images from files: sizes from headers, pixels in display orientation.

Pillow reads them, the same pixels as OpenCV, whose codecs write complaints to stderr.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from parsing.errors import InputError
from parsing.files import atomic
from parsing.media.orientation import EXIF_ORIENTATIONS, Orientation
from parsing.types import Array

MAX_SIDE_PX, MAX_PIXELS = 32_000, 200_000_000  # OpenCV's warps count in 16 bits
Image.MAX_IMAGE_PIXELS = None  # the limit above is checked before anything is decoded
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")  # Pillow's other readers start programs or are rarely used
ORIENTATION_TAG = 0x0112
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_END_WITHIN = 16  # bytes: some writers put a few more after the end marker


@dataclass(frozen=True)
class ImageHeader:
    """What the header of a file says: the stored (height, width) in pixels, and how EXIF says to turn it."""

    stored_hw: tuple[int, int]
    orientation: Orientation

    @property
    def shown_hw(self) -> tuple[int, int]:
        return self.orientation.displayed_hw(*self.stored_hw)


def read_header(path: Path) -> ImageHeader:
    """The header of an image file; no pixel is decoded.

    Raises:
        InputError: the file is missing, no image, or larger than can be handled.
    """
    with _opened(path) as image:
        width, height = image.size
        return ImageHeader((height, width), _orientation(image))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) in pixels from the file's header, as the image is shown (turned by its EXIF orientation).

    Raises:
        InputError: the file is missing, no image, or larger than can be handled.
    """
    return read_header(path).shown_hw


def check_image(path: Path) -> None:
    """Tell whether all pixels of an image are there: a JPEG that has its end marker is whole, any other file is decoded.

    Raises:
        InputError: the file is missing, no image, cut off, or too large.
    """
    read_header(path)
    with path.open("rb") as file:
        start, size = file.read(2), path.stat().st_size
        file.seek(max(0, size - JPEG_END_WITHIN))
        end = file.read()
    if start != JPEG_START or JPEG_END not in end:
        read_image(path)


def read_image(path: Path) -> Array:
    """(H, W, 3) uint8 RGB, turned as its EXIF orientation says; transparency is left out, 16 bits are cut to 8.

    Raises:
        InputError: the file is missing, no image, cut off, or too large.
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        try:
            image.load()
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            shown = image.convert("RGB")
        except Exception as error:
            reason = "is cut off" if "truncated" in str(error) else f"cannot be decoded ({error})"
            raise InputError(f"{path}: the image {reason}") from None
        return orientation.apply(np.array(shown))


def write_image(path: Path, image: Array) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the suffix names.

    Raises:
        InputError: the suffix names no format of images.
    """
    data = encoded_image(path, image)
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def encoded_image(path: Path, image: Array) -> bytes:
    """What a file of this name holds of (H, W, 3) uint8 RGB; errors as of `write_image`."""
    try:
        _, data = cv2.imencode(path.suffix, image[:, :, ::-1])
    except cv2.error:
        raise InputError(f"{path}: cannot be written as an image; expected a name that ends in .png or .jpg") from None
    return data.tobytes()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image of which the header alone was read, and whose size is bounded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        try:
            image = Image.open(path, formats=FORMATS)
        except FileNotFoundError:
            raise InputError(f"{path}: image not found") from None
        except Exception:  # Pillow's readers raise many kinds on damaged headers
            raise InputError(f"{path}: not a readable image") from None
        with image:
            width, height = image.size
            if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
                limit = f"{MAX_SIDE_PX} px a side and {MAX_PIXELS // 10**6} million pixels"
                raise InputError(f"{path}: an image of {width} x {height} px; at most {limit} are read")
            yield image


def _orientation(image: Image.Image) -> Orientation:
    try:
        return EXIF_ORIENTATIONS.get(int(image.getexif().get(ORIENTATION_TAG, 1)), Orientation())
    except Exception:  # damaged EXIF says nothing
        return Orientation()

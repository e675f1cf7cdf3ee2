"""Images from files: sizes from headers, pixels in display orientation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from parsing.errors import InputError
from parsing.files import atomic
from parsing.types import Array

MAX_SIDE_PX, MAX_PIXELS = 32_000, 300_000_000  # OpenCV's warps count in 16 bits
ORIENTATION_TAG = 0x0112
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_END_WITHIN = 16  # bytes: some writers put a few more after the end marker


@dataclass(frozen=True)
class ImageHeader:
    """What the header of a file says: the stored (height, width) in pixels, and the EXIF orientation, 1 to 8, that it is shown in."""

    stored_hw: tuple[int, int]
    orientation: int = 1

    @property
    def shown_hw(self) -> tuple[int, int]:
        height, width = self.stored_hw
        return (width, height) if self.orientation >= 5 else (height, width)


def read_header(path: Path) -> ImageHeader:
    """The header of an image file; no pixel is decoded.

    Raises:
        InputError: the file is missing, no image, or larger than can be handled.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is checked here
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(ORIENTATION_TAG, 1)
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise InputError(f"{path}: {'image not found' if missing else 'not a readable image'}") from None
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        limit = f"{MAX_SIDE_PX} px a side and {MAX_PIXELS // 10**6} million pixels"
        raise InputError(f"{path}: an image of {width} x {height} px; at most {limit} are read")
    return ImageHeader((int(height), int(width)), turned if turned in range(1, 9) else 1)


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
    """(H, W, 3) uint8 RGB, turned as its EXIF orientation says.

    Raises:
        InputError: the file is missing, no image, cut off, or too large.
    """
    read_header(path)
    data = path.read_bytes()
    if data[:2] == JPEG_START and JPEG_END not in data[-JPEG_END_WITHIN:]:
        _refuse_truncated(path)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: not a readable image")
    return np.ascontiguousarray(image[:, :, ::-1])


def write_image(path: Path, image: Array) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the suffix names.

    Raises:
        InputError: the suffix names no format of images.
    """
    try:
        _, data = cv2.imencode(path.suffix, image[:, :, ::-1])
    except cv2.error:
        raise InputError(f"{path}: cannot be written as an image; expected a name that ends in .png or .jpg") from None
    with atomic(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _refuse_truncated(path: Path) -> None:
    """A JPEG without its end marker decodes to a grey rest under OpenCV; Pillow tells whether pixels are missing."""
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        raise InputError(f"{path}: the JPEG is cut off") from None

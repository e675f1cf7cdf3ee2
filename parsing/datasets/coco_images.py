"""The images of a COCO file: their sizes, and which way their annotations lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsing.datasets.orientation import as_shown
from parsing.datasets.problems import Problems, named_file, what
from parsing.datasets.records import ImageRecord
from parsing.errors import InputError
from parsing.media.images import ImageHeader, read_header
from parsing.media.orientation import Orientation


@dataclass
class AnnotatedImage:
    """An image of a file.

    Args:
        row: what the file says of it.
        image_hw: of the picture that was annotated.
        header: None where the image is not there.
        turned: whether annotations lie in the stored image and have to be turned to how it is shown.
    """

    row: dict[str, Any]
    path: Path
    image_hw: tuple[int, int]
    header: ImageHeader | None
    turned: bool = False

    def shown(self, record: ImageRecord) -> ImageRecord:
        """The record in pixels of the image as it is shown."""
        return as_shown(record, self.header) if self.turned and self.header else record


def record_key(value: Any) -> str:
    """An id as it is compared: 1, 1.0 and "1" are one.

    Raises:
        ValueError: neither a number nor a text.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"id {value!r:.60}, expected a number or a text")
    return str(value)


def annotated_images(rows: Sequence[Any], folder: Path, file: Path, problems: Problems) -> tuple[dict[str, AnnotatedImage], set[str]]:
    """The images of a file by id, and the ids of those that do not fit.

    An image that EXIF turns may have been annotated as stored or as shown, which its size in the file tells; where both
    have the same size, the other images of the file tell. A size that is neither is a problem of the image.
    """
    found: dict[str, AnnotatedImage] = {}
    lost: set[str] = set()
    for row in rows:
        key = ""
        try:
            key = record_key(row["id"])
            if key in found:
                raise ValueError("the id stands there twice")
            found[key] = _image(row, folder)
        except (KeyError, TypeError, ValueError, OverflowError, InputError) as error:
            lost.add(key)
            problems.add(file, f"image {name_of(row)}", what(error))
    _decide_unclear(list(found.values()), file, problems)
    return found, lost - found.keys()


def name_of(row: Any) -> str:
    return repr(row.get("id")) if isinstance(row, dict) else f"{row!r:.60}"


def _image(row: dict[str, Any], folder: Path) -> AnnotatedImage:
    path = named_file(folder, row["file_name"])
    header = read_header(path) if path.is_file() else None
    if header is not None and row.get("width") is None and row.get("height") is None:
        return AnnotatedImage(row, path, header.shown_hw, header)
    size = int(row["height"]), int(row["width"])
    if min(size) < 1:
        raise ValueError(f"size {size[1]} x {size[0]} px, expected at least 1 x 1")
    if header is not None and size not in (header.stored_hw, header.shown_hw):
        height, width = header.shown_hw
        raise ValueError(f"{path}: {width} x {height} px, annotations say {size[1]} x {size[0]}")
    return AnnotatedImage(row, path, size, header, header is not None and size != header.shown_hw)


def _decide_unclear(images: Sequence[AnnotatedImage], file: Path, problems: Problems) -> None:
    exif = [(image, image.header) for image in images if image.header is not None and image.header.orientation != Orientation()]
    clear = [image for image, header in exif if header.stored_hw != header.shown_hw]
    unclear = [image for image, header in exif if header.stored_hw == header.shown_hw]
    stored = sum(image.turned for image in clear) * 2 > len(clear)
    for image in unclear:
        image.turned = stored
    if unclear and not clear:
        told = "nothing tells whether their boxes lie in the stored or in the shown image; taken as shown"
        problems.note(file, f"{len(unclear)} images are turned by EXIF without a change of size, and {told}")

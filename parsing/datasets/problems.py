"""What to do with records that do not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import numpy as np

from parsing.datasets.records import ImageRecord
from parsing.errors import InputError
from parsing.media.images import check_image
from parsing.types import Array

log = logging.getLogger(__name__)
OnError = Literal["fail", "skip"]


class Problems:
    """Collects what is wrong with a data set; `fail` stops at the first, `skip` leaves the record out and goes on.

    Args:
        on_error: `fail` or `skip`.
        quiet: do not log what is skipped or noted.
    """

    def __init__(self, on_error: OnError = "fail", quiet: bool = False) -> None:
        self.on_error, self.quiet = on_error, quiet
        self.found: list[str] = []
        self.notes: list[str] = []

    def add(self, file: Path, record: str, what: str) -> None:
        """Note a problem of one record.

        Raises:
            InputError: under `fail`; names the file, the record and what was expected.
        """
        line = f"{file}: {record}: {what}"
        if self.on_error == "fail":
            raise InputError(line)
        self.found.append(line)
        if not self.quiet:
            log.warning("skipped %s", line)

    def left_out(self, file: Path, image: str) -> None:
        """Note that an image is left out since all of its annotations were: it would pass for one without objects."""
        self.note(file, f"{image}: all of its annotations were left out, so the image is left out too")

    def note(self, file: Path, what: str) -> None:
        """Say what follows from a problem, or how something was read that could be read in two ways."""
        self.notes.append(f"{file}: {what}")
        if not self.quiet:
            log.warning("%s: %s", file, what)


def usable(records: Iterable[ImageRecord], problems: Problems) -> list[ImageRecord]:
    """The records whose image is there and whole; trainings and the inspection both ask here, so they count the same."""
    good = []
    for record in records:
        try:
            check_image(record.path)
            good.append(record)
        except InputError as error:
            problems.add(record.path, f"image {record.id!r}", str(error).removeprefix(f"{record.path}: "))
    return good


def named_file(folder: Path, name: str) -> Path:
    r"""A file that a data set names relative to a folder; `\` counts as `/` where no file has that very name.

    Raises:
        ValueError: no name of a file.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"file name {name!r:.60}, expected a text")
    path = folder / name
    return folder / PureWindowsPath(name).as_posix() if "\\" in name and not path.exists() else path


def what(error: Exception) -> str:
    """An error that a field of a record raised, in words."""
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)


def checked_box(xyxy: Any, image_hw: tuple[int, int]) -> Array:
    """(4,) float32 box clipped to its image.

    Raises:
        ValueError: not four finite numbers, without area, or outside of the image.
    """
    try:
        box = np.asarray(xyxy, np.float64).reshape(4)
    except (TypeError, ValueError):
        raise ValueError(f"box {xyxy!r:.80}, expected four numbers") from None
    if not np.isfinite(box).all():
        raise ValueError(f"box {box.tolist()} is not finite")
    if (box[2:] <= box[:2]).any():
        raise ValueError(f"box x1, y1, x2, y2 = {box.round(2).tolist()} has no area")
    height, width = image_hw
    clipped = np.clip(box, 0, [width, height, width, height])
    if (clipped[2:] <= clipped[:2]).any():
        raise ValueError(f"box x1, y1, x2, y2 = {box.round(2).tolist()} lies outside of its image of {width} x {height} px")
    return clipped.astype(np.float32)

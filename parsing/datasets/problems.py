"""What to do with records that do not fit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np

from parsing.errors import InputError
from parsing.types import Array

log = logging.getLogger(__name__)
OnError = Literal["fail", "skip"]


class Problems:
    """Collects what is wrong with a data set; `fail` stops at the first, `skip` leaves the record out and goes on.

    Args:
        on_error: `fail` or `skip`.
        quiet: do not log what is skipped.
    """

    def __init__(self, on_error: OnError = "fail", quiet: bool = False) -> None:
        self.on_error, self.quiet = on_error, quiet
        self.found: list[str] = []

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

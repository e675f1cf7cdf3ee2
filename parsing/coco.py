"""COCO person_keypoints JSON as typed records, with the 33-point extension of BlazePose order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parsing.errors import InputError
from parsing.types import Array


@dataclass(frozen=True, eq=False)
class PersonRecord:
    """One annotated person.

    Args:
        xyxy: (4,) float32 pixels of the image.
        keypoints17: (17, 3) x, y, v in COCO order (v: 0 unlabelled, 1 hidden, 2 visible), or None.
        keypoints33: (33, 3) x, y, visibility in [0, 1] in BlazePose order, or None.
        crowd: the box holds many persons; a detector is neither rewarded nor punished inside it.
        box_source: `human` or `teacher`.
    """

    xyxy: Array
    keypoints17: Array | None
    keypoints33: Array | None
    crowd: bool
    box_source: str

    @property
    def best_keypoints(self) -> Array | None:
        """The richer of the two sets of keypoints; None without any."""
        return self.keypoints33 if self.keypoints33 is not None else self.keypoints17


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One annotated image: where it lies, its size, its persons, the source that it came from, and its action if it has one."""

    path: Path
    image_hw: tuple[int, int]
    persons: tuple[PersonRecord, ...]
    source: str
    action: str | None = None


def read_coco(annotations: Path, images: Path, sources: tuple[str, ...] = ()) -> list[ImageRecord]:
    """Read an annotation file.

    Args:
        annotations: the JSON.
        images: folder of the image files.
        sources: keep images of these sources only; empty keeps all.

    Raises:
        InputError: the file cannot be read, is no COCO JSON, or a record does not fit; names the record.
    """
    try:
        data = json.loads(annotations.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{annotations}: cannot read annotations ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{annotations}: not JSON ({error})") from None
    if not isinstance(data, dict) or not isinstance(data.get("images"), list) or not isinstance(data.get("annotations"), list):
        raise InputError(f"{annotations}: expected COCO lists 'images' and 'annotations'")
    persons: dict[Any, list[PersonRecord]] = {}
    for record in data["annotations"]:
        try:
            persons.setdefault(record["image_id"], []).append(_person(record))
        except (KeyError, TypeError, ValueError) as error:
            name = record.get("id") if isinstance(record, dict) else record
            raise InputError(f"{annotations}: annotation {name!r} does not fit ({type(error).__name__}: {error})") from None
    return [
        _image(record, images, persons.get(record["id"], []), annotations)
        for record in data["images"]
        if not sources or record.get("source") in sources
    ]


def _image(record: dict[str, Any], images: Path, persons: list[PersonRecord], annotations: Path) -> ImageRecord:
    try:
        size = int(record["height"]), int(record["width"])
        source, action = record.get("source", annotations.stem), record.get("action")
        return ImageRecord(images / record["file_name"], size, tuple(persons), source, action)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{annotations}: image {record.get('id')!r} does not fit ({type(error).__name__}: {error})") from None


def _person(record: dict[str, Any]) -> PersonRecord:
    x, y, width, height = (float(value) for value in record["bbox"])
    return PersonRecord(
        xyxy=np.array([x, y, x + width, y + height], np.float32),
        keypoints17=_points(record.get("keypoints"), 17),
        keypoints33=_points(record.get("keypoints33"), 33),
        crowd=bool(record.get("iscrowd", 0)),
        box_source=record.get("box_source", "human"),
    )


def _points(values: list[float] | None, count: int) -> Array | None:
    if not values or not any(values):
        return None
    return np.asarray(values, np.float32).reshape(count, 3)

"""MPII's list of persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from parsing.datasets.joints import MPII, head_between, to_coco
from parsing.datasets.problems import Problems, checked_box, named_file, what
from parsing.datasets.records import ImageRecord, ObjectRecord
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.media.images import image_size
from parsing.types import Array

MPII_MARGIN = 0.12  # of the joints' extent: they lie inside of the body's outline


def read_mpii(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """MPII in the common JSON form: one entry a person with 16 joints. It has no boxes: they are the joints' extent, widened.

    The file gives no sizes, so joints are taken to lie in the image as it is shown.
    """
    rows = read_json(annotations)
    if not isinstance(rows, list):
        raise InputError(f"{annotations}: expected a list of persons")
    persons: dict[str, list[ObjectRecord]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for number, row in enumerate(rows):
        try:
            name = row["image"]
            path = named_file(images, name)
            if name not in sizes:
                sizes[name] = None
                sizes[name] = image_size(path)
            if (size := sizes[name]) is not None:
                person = _mpii_person(row, size)
                persons.setdefault(name, []).append(person)
        except (KeyError, TypeError, ValueError, InputError) as error:
            problems.add(annotations, f"person {number}", what(error))
    for name, size in sizes.items():
        if size is not None and name not in persons:
            problems.left_out(annotations, f"image {name}")
    return [
        ImageRecord(named_file(images, name), size, tuple(persons[name]), "mpii", None, name)
        for name, size in sizes.items()
        if size is not None and name in persons
    ]


def _mpii_person(row: dict[str, Any], image_hw: tuple[int, int]) -> ObjectRecord:
    joints = np.asarray(row["joints"], np.float32).reshape(len(MPII), 2)
    seen = (np.asarray(row["joints_vis"], np.float32).reshape(len(MPII), 1) > 0) & (joints >= 0).all(1, keepdims=True)
    points: dict[str, Array] = dict(zip(MPII, np.concatenate([joints, seen * 2.0], 1).astype(np.float32), strict=True))
    visible = joints[seen[:, 0]]
    if len(visible) < 2:
        raise ValueError("fewer than two visible joints, so no box")
    low, high = visible.min(0), visible.max(0)
    margin = MPII_MARGIN * float((high - low).max())
    box = checked_box(np.concatenate([low - margin, high + margin]), image_hw)
    return ObjectRecord(box, to_coco(points), parts=head_between(points, image_hw))

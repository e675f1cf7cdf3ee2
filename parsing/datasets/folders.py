"""Data sets of YOLO labels, and MPII's list of persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from parsing.datasets.joints import MPII, head_between, to_coco
from parsing.datasets.problems import Problems, checked_box
from parsing.datasets.records import PERSON, ImageRecord, ObjectRecord
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.media.images import image_size
from parsing.media.suffixes import IMAGE_SUFFIXES
from parsing.types import Array

MPII_MARGIN = 0.12  # of the joints' extent: they lie inside of the body's outline


def read_yolo(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """YOLO: a text file an image with rows `class cx cy w h` in shares of its sides, and 17 times `x y v` in pose files.

    Class names come from `classes.txt` or a `*.yaml` with `names` in `annotations` or above; without them class 0 is a person.
    """
    names = _yolo_names(annotations)
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"{images}: no image below this folder")
    records = []
    for path in paths:
        try:
            size = image_size(path)
        except InputError as error:
            problems.add(path, "image", str(error))
            continue
        file = annotations / path.relative_to(images).with_suffix(".txt")
        objects = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else (), 1):
            try:
                if line.strip():
                    objects.append(_yolo_object([float(value) for value in line.split()], names, size))
            except ValueError as error:
                problems.add(file, f"line {number}", str(error))
        records.append(ImageRecord(path, size, tuple(objects), "yolo", None, path.name))
    return records


def _yolo_names(annotations: Path) -> list[str]:
    for folder in (annotations, annotations.parent, annotations.parent.parent):
        for file in sorted([*folder.glob("classes.txt"), *folder.glob("*.yaml")]):
            if file.suffix == ".txt":
                return file.read_text(encoding="utf-8").split("\n")
            try:
                value = yaml.safe_load(file.read_text(encoding="utf-8"))
            except yaml.YAMLError:
                raise InputError(f"{file}: not YAML") from None
            if isinstance(value, dict) and value.get("names"):
                listed = value["names"]
                return [str(name) for name in (listed.values() if isinstance(listed, dict) else listed)]
    return [PERSON]


def _yolo_object(row: list[float], names: list[str], image_hw: tuple[int, int]) -> ObjectRecord:
    if len(row) not in (5, 5 + 17 * 3):
        raise ValueError(f"{len(row)} numbers, expected 5 (class cx cy w h) or 56 with 17 keypoints")
    if not float(row[0]).is_integer() or not 0 <= row[0] < len(names):
        raise ValueError(f"unknown class {row[0]:g}; {len(names)} are known")
    height, width = image_hw
    x, y, w, h = np.array(row[1:5]) * (width, height, width, height)
    points = None
    if len(row) > 5:
        points = (np.array(row[5:], np.float32).reshape(17, 3) * (width, height, 1)).astype(np.float32)
    box = checked_box((x - w / 2, y - h / 2, x + w / 2, y + h / 2), image_hw)
    return ObjectRecord(box, points, label=names[int(row[0])])


def read_mpii(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """MPII in the common JSON form: one entry a person with 16 joints. It has no boxes: they are the joints' extent, widened."""
    rows = read_json(annotations)
    if not isinstance(rows, list):
        raise InputError(f"{annotations}: expected a list of persons")
    persons: dict[str, list[ObjectRecord]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        try:
            name = row["image"]
            if name not in sizes:
                sizes[name] = image_size(images / name)
            persons.setdefault(name, []).append(_mpii_person(row, sizes[name]))
        except (KeyError, TypeError, ValueError) as error:
            problems.add(annotations, f"person {number}", f"lacks {error}" if isinstance(error, KeyError) else str(error))
    return [ImageRecord(images / name, sizes[name], tuple(found), "mpii", None, name) for name, found in persons.items()]


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

"""Data sets of YOLO labels: boxes, poses and outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from parsing.datasets.joints import as_points
from parsing.datasets.labels import unified_labels
from parsing.datasets.outlines import outline_box
from parsing.datasets.problems import Problems, checked_box
from parsing.datasets.records import ImageRecord, ObjectRecord
from parsing.datasets.yolo_layout import YoloLayout, yolo_layout
from parsing.errors import InputError
from parsing.media.images import image_size

BOX_VALUES, MIN_POLYGON = 5, 7


def read_yolo(annotations: Path, images: Path, problems: Problems, split: str = "train") -> list[ImageRecord]:
    """YOLO: a text file an image with rows `class cx cy w h` in shares of the sides of the image as it is shown.

    17 keypoints may follow, as `x y v` or, under `kpt_shape: [17, 2]`, as `x y`. Rows `class x y x y x y …` of three or
    more points are outlines, whose box is taken. An image without a label file holds no object.

    Args:
        annotations, images, split: as in `yolo_layout`.

    Raises:
        InputError: no image, or not one label file; says where was looked.
    """
    layout = yolo_layout(annotations, images, split, problems)
    if not any(label.is_file() for _, label in layout.pairs):
        raise InputError(f"{layout.file}: none of {len(layout.pairs)} images has labels; looked for {layout.pairs[0][1]} and the like")
    labels = unified_labels(list(layout.names.values()), layout.file, problems)
    names = {number: labels[name] for number, name in layout.names.items()}
    records = (_record(path, label, names, layout, problems) for path, label in layout.pairs)
    return [record for record in records if record is not None]


def _record(path: Path, label: Path, names: dict[int, str], layout: YoloLayout, problems: Problems) -> ImageRecord | None:
    try:
        size = image_size(path)
        text = label.read_text(encoding="utf-8-sig") if label.is_file() else ""
    except InputError as error:
        problems.add(path, "image", str(error).removeprefix(f"{path}: "))
        return None
    except (OSError, UnicodeDecodeError) as error:
        problems.add(label, "labels", f"cannot be read ({error})")
        return None
    objects = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.strip():
                objects.append(_object([float(value) for value in line.split()], names, layout.point_values, size))
        except ValueError as error:
            problems.add(label, f"line {number}", str(error))
    if text.strip() and not objects:
        problems.left_out(label, f"image {path.name}")
        return None
    return ImageRecord(path, size, tuple(objects), "yolo", None, path.name)


def _object(row: list[float], names: dict[int, str], point_values: int, image_hw: tuple[int, int]) -> ObjectRecord:
    if not row[0].is_integer() or int(row[0]) not in names:
        raise ValueError(f"unknown class {row[0]:g}; {len(names)} are known")
    height, width = image_hw
    label, values, pose = names[int(row[0])], np.array(row[1:]), BOX_VALUES + 17 * point_values
    if len(row) not in (BOX_VALUES, pose) and (len(row) < MIN_POLYGON or len(row) % 2 == 0):
        raise ValueError(f"{len(row)} numbers, expected 5 (class cx cy w h), {pose} with 17 keypoints, or 7, 9, … of an outline")
    if len(row) not in (BOX_VALUES, pose):
        outline = outline_box([(values.reshape(-1, 2) * (width, height)).ravel().tolist()], image_hw)
        return ObjectRecord(checked_box(outline, image_hw), label=label)
    x, y, w, h = values[:4] * (width, height, width, height)
    points = None
    if len(row) == pose:
        found = values[4:].reshape(17, point_values)
        seen = found[:, 2:] if point_values == 3 else 2.0 * (found > 0).any(1, keepdims=True)
        points = as_points(np.concatenate([found[:, :2] * (width, height), seen], 1))
    return ObjectRecord(checked_box((x - w / 2, y - h / 2, x + w / 2, y + h / 2), image_hw), points, label=label)

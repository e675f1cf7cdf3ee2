"""COCO JSON (detection, person_keypoints) and the data sets in its form: WholeBody, Halpe, JHMDB, PoseTrack, CrowdPose, AIC, OCHuman.

Extensions: `keypoints33` (BlazePose order), `source` and `action` of an image, and part boxes as annotations whose
category is a part's name and whose `person_id` is the person's annotation; these may carry `source`, `score`, `ignore`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parsing.datasets.joints import as_points, foot_names, hand_names, head_between, joint_names, to_blazepose, to_coco
from parsing.datasets.problems import Problems, checked_box
from parsing.datasets.records import ImageRecord, ObjectRecord, PartRecord
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.types import Array
from parsing.vocabulary import PART_NAMES

Row = dict[str, Any]


def read_coco(annotations: Path, images: Path, sources: tuple[str, ...] = (), problems: Problems | None = None) -> list[ImageRecord]:
    """Read an annotation file.

    Args:
        annotations: the JSON.
        images: folder of the image files.
        sources: keep images of these sources only; empty keeps all.
        problems: what to do with records that do not fit; None stops at the first.

    Raises:
        InputError: the file cannot be read or is no COCO JSON, or a record does not fit.
    """
    problems = problems or Problems()
    data = read_json(annotations)
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise InputError(f"{annotations}: expected COCO lists 'images' and 'annotations'")
    categories = _categories(data.get("categories", []), annotations)
    sizes = _image_sizes(data["images"], annotations, problems)
    parts: dict[Any, list[PartRecord]] = {}
    persons: dict[Any, list[tuple[Row, Row]]] = {}
    seen: set[Any] = set()
    for row in data["annotations"]:
        try:
            category = _checked_annotation(row, categories, sizes, seen)
            if category["name"] in PART_NAMES:
                parts.setdefault(row["person_id"], []).append(_part(row, category["name"], sizes[row["image_id"]]))
            else:
                persons.setdefault(row["image_id"], []).append((row, category))
        except (KeyError, TypeError, ValueError) as error:
            problems.add(annotations, f"annotation {_name(row)}", _what(error))
    records = []
    for image in data["images"]:
        if not isinstance(image, dict) or image.get("id") not in sizes or (sources and image.get("source") not in sources):
            continue
        objects = []
        for row, category in persons.get(image["id"], []):
            try:
                objects.append(_object(row, category, sizes[image["id"]], tuple(parts.get(row.get("id"), ()))))
            except (KeyError, TypeError, ValueError) as error:
                problems.add(annotations, f"annotation {_name(row)}", _what(error))
        try:
            objects += _ignore_regions(image, sizes[image["id"]])
        except (TypeError, ValueError) as error:
            problems.add(annotations, f"image {_name(image)}", f"ignore_regions: {error}")
        source, action = image.get("source", annotations.stem), image.get("action")
        records.append(ImageRecord(images / image["file_name"], sizes[image["id"]], tuple(objects), source, action, image["id"]))
    return records


def _categories(rows: list[Row], annotations: Path) -> dict[Any, Row]:
    """Categories by id; without any, category 1 is `person`."""
    found: dict[Any, Row] = {}
    for row in rows:
        if not isinstance(row, dict) or "id" not in row:
            raise InputError(f"{annotations}: category {row!r:.80}: expected id and name")
        row = {"name": "person", **row}
        if row["id"] in found or any(row["name"] == other["name"] for other in found.values()):
            raise InputError(f"{annotations}: category {row['id']} ({row['name']}) stands there twice")
        found[row["id"]] = row
    return found or {1: {"id": 1, "name": "person"}}


def _image_sizes(rows: list[Row], annotations: Path, problems: Problems) -> dict[Any, tuple[int, int]]:
    sizes: dict[Any, tuple[int, int]] = {}
    for row in rows:
        try:
            if row["id"] in sizes:
                raise ValueError("the id stands there twice")
            size = int(row["height"]), int(row["width"])
            if min(size) < 1:
                raise ValueError(f"size {size[1]} x {size[0]} px, expected at least 1 x 1")
            if not isinstance(row["file_name"], str):
                raise ValueError(f"file_name {row['file_name']!r:.60}, expected a text")
            sizes[row["id"]] = size
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            problems.add(annotations, f"image {_name(row)}", _what(error))
    return sizes


def _checked_annotation(row: Row, categories: dict[Any, Row], sizes: dict[Any, tuple[int, int]], seen: set[Any]) -> Row:
    if not isinstance(row, dict):
        raise TypeError("expected an object with image_id and bbox")
    if row.get("id") is not None:
        if row["id"] in seen:
            raise ValueError("the id stands there twice")
        seen.add(row["id"])
    if row["image_id"] not in sizes:
        raise ValueError(f"image_id {row['image_id']!r} is not among the images")
    category = row.get("category_id", next(iter(categories)))
    if category not in categories:
        raise ValueError(f"unknown category_id {category!r}; known: {', '.join(map(str, sorted(categories, key=str)[:20]))}")
    return categories[category]


def _part(row: Row, name: str, image_hw: tuple[int, int]) -> PartRecord:
    x, y, width, height = (float(value) for value in row["bbox"])
    box = checked_box((x, y, x + width, y + height), image_hw)
    return PartRecord(name, box, row.get("source", "human"), float(row.get("score", 1.0)), bool(row.get("ignore", 0)))


def _object(row: Row, category: Row, image_hw: tuple[int, int], parts: tuple[PartRecord, ...]) -> ObjectRecord:
    x, y, width, height = (float(value) for value in row["bbox"])
    points = _named_points(row, category)
    known33 = row.get("keypoints33")
    return ObjectRecord(
        xyxy=checked_box((x, y, x + width, y + height), image_hw),
        keypoints17=to_coco(points),
        keypoints33=as_points(known33, 33) if known33 and any(known33) else to_blazepose(points),
        crowd=bool(row.get("iscrowd", 0)),
        box_source=row.get("box_source", "human"),
        label=category["name"],
        parts=(*parts, *_given_parts(row, image_hw), *head_between(points, image_hw)),
        id=row.get("id"),
    )


def _named_points(row: Row, category: Row) -> dict[str, Array]:
    """Joints by name; WholeBody keeps feet and hands in fields of their own."""
    points: dict[str, Array] = {}
    if row.get("keypoints"):
        values = as_points(row["keypoints"])
        points = dict(zip(joint_names(category.get("keypoints", ()), len(values)), values, strict=True))
    if row.get("foot_valid"):
        points |= dict(zip(foot_names(), as_points(row["foot_kpts"], 6), strict=True))
    for side in ("left", "right"):
        if row.get(f"{side}hand_valid"):
            points |= dict(zip(hand_names(side), as_points(row[f"{side}hand_kpts"], 21), strict=True))
    return points


def _given_parts(row: Row, image_hw: tuple[int, int]) -> tuple[PartRecord, ...]:
    """Boxes that PoseTrack draws around heads and WholeBody around hands."""
    given = {"head": row.get("bbox_head")}
    given |= {f"{side}_hand": row.get(f"{side}hand_box") for side in ("left", "right") if row.get(f"{side}hand_valid")}
    found = []
    for name, box in given.items():
        if box and box[2] > 0 and box[3] > 0:
            x, y, width, height = (float(value) for value in box)
            found.append(PartRecord(name, checked_box((x, y, x + width, y + height), image_hw)))
    return tuple(found)


def _ignore_regions(image: Row, image_hw: tuple[int, int]) -> list[ObjectRecord]:
    """PoseTrack's polygons of people that nobody annotated, as crowds: the bound of each."""
    found = []
    for xs, ys in zip(image.get("ignore_regions_x") or (), image.get("ignore_regions_y") or (), strict=False):
        if len(xs) > 2 and min(xs) < max(xs) and min(ys) < max(ys):
            found.append(ObjectRecord(checked_box((min(xs), min(ys), max(xs), max(ys)), image_hw), crowd=True))
    return found


def _name(row: Any) -> str:
    return repr(row.get("id")) if isinstance(row, dict) else f"{row!r:.60}"


def _what(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)

"""Records back to COCO JSON, with the extensions that `read_coco` understands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parsing.datasets.records import PERSON, ImageRecord, ObjectRecord, PartRecord, part_names
from parsing.files import atomic
from parsing.keypoints import COCO_NAMES
from parsing.types import Array


def write_coco(records: Sequence[ImageRecord], path: Path, images: Path, info: dict[str, Any]) -> None:
    """Write annotated images, atomically.

    Args:
        images: folder that file names become relative to.
        info: what stands in the file's `info`: how it was made.
    """
    labels = [PERSON, *sorted({item.label for record in records for item in record.objects} - {PERSON})]
    names = [*labels, *part_names(records)]
    rows: list[dict[str, Any]] = []
    documents = []
    for image_id, record in enumerate(records, 1):
        height, width = record.image_hw
        image = {"id": image_id, "file_name": record.path.relative_to(images).as_posix(), "height": height, "width": width}
        documents.append(image | {"source": record.source} | ({"action": record.action} if record.action else {}))
        for item in record.objects:
            person_id = len(rows) + 1
            rows.append(_object_row(item, person_id, image_id, names.index(item.label) + 1))
            rows += [_part_row(p, person_id + 1 + i, person_id, image_id, names.index(p.name) + 1) for i, p in enumerate(item.parts)]
    categories: list[dict[str, Any]] = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    categories[0]["keypoints"] = list(COCO_NAMES)
    for name, states in _states(records).items():
        categories[names.index(name)]["states"] = list(states)
    document = {"info": info, "images": documents, "annotations": rows, "categories": categories}
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def _states(records: Sequence[ImageRecord]) -> dict[str, dict[str, None]]:
    """The states that are known of any part of a name, in the order in which they come."""
    found: dict[str, dict[str, None]] = {}
    for part in (part for record in records for item in record.objects for part in item.parts if part.states):
        found.setdefault(part.name, {}).update(dict.fromkeys(part.states))
    return found


def _object_row(item: ObjectRecord, row_id: int, image_id: int, category_id: int) -> dict[str, Any]:
    row = {**_box(item.xyxy), "id": row_id, "image_id": image_id, "category_id": category_id, "iscrowd": int(item.crowd)}
    row["box_source"] = item.box_source
    for name, points in (("keypoints", item.keypoints17), ("keypoints33", item.keypoints33)):
        if points is not None:
            row[name] = [round(float(value), 3) for value in points.ravel()]
    return row


def _part_row(part: PartRecord, row_id: int, person_id: int, image_id: int, category_id: int) -> dict[str, Any]:
    row = {**_box(part.xyxy), "id": row_id, "image_id": image_id, "category_id": category_id, "person_id": person_id, "iscrowd": 0}
    states = {"states": [state for state, holds in part.states.items() if holds]} if part.states else {}
    return row | {"source": part.source, "score": part.score, "ignore": int(part.ignored)} | states


def _box(xyxy: Array) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(float(value), 2) for value in xyxy)
    return {"bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], "area": round((x1 - x0) * (y1 - y0), 2)}

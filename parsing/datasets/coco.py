"""COCO JSON (detection, person_keypoints) and the data sets in its form: WholeBody, Halpe, JHMDB, PoseTrack, CrowdPose, AIC, OCHuman.

Extensions: `keypoints33` (BlazePose order), `source` and `action` of an image, and part boxes as annotations whose
category is a part's name and whose `person_id` is the person's annotation, or the one whose box holds it where the category
has a `parent` or lists `states`; these may carry `source`, `score`, `ignore`, and
`states`, those that hold among the `states` that their category lists.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parsing.configs import nearest
from parsing.datasets.coco_images import AnnotatedImage, annotated_images, name_of, record_key
from parsing.datasets.joints import as_points, head_between, joint_names, to_blazepose, to_coco
from parsing.datasets.labels import unified_labels
from parsing.datasets.outlines import outline_box
from parsing.datasets.problems import Problems, checked_box, what
from parsing.datasets.records import PERSON, ImageRecord, ObjectRecord, PartRecord
from parsing.datasets.regions import containing, give
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.keypoints import foot_names, hand_names
from parsing.types import Array
from parsing.vocabulary import Pairs, Vocabulary

Row = dict[str, Any]


@dataclass
class _Rows:
    """Annotations that fit, by what they belong to: objects by image, parts by person.

    Args:
        bad_images: images that do not fit, whose annotations go with them.
        owned: a part of each person that parts name.
        lost: images that lost an annotation.
    """

    categories: dict[str, Row]
    images: dict[str, AnnotatedImage]
    bad_images: set[str]
    objects: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[str, list[PartRecord]] = field(default_factory=lambda: defaultdict(list))
    owned: dict[str, Row] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def read_coco(annotations: Path, images: Path, sources: tuple[str, ...] = (), problems: Problems | None = None) -> list[ImageRecord]:
    """Read an annotation file.

    Args:
        annotations: the JSON.
        images: folder of the image files; those that are not there are taken to be as the file says.
        sources: keep images of these sources only; empty keeps all.
        problems: what to do with records that do not fit; None stops at the first.

    Returns:
        A record an image, in pixels of the image as it is shown. Under `skip`, an image whose annotations were all left
        out is left out too.

    Raises:
        InputError: the file cannot be read or is no COCO JSON, or a record does not fit.
    """
    problems = problems or Problems()
    data = _read(annotations)
    categories = _categories(data, annotations, problems)
    rows = _Rows(categories, *annotated_images(data["images"], images, annotations, problems))
    for row in data["annotations"]:
        try:
            _sort_in(row, rows)
        except (KeyError, TypeError, ValueError) as error:
            _lose(row, what(error), rows, annotations, problems)
    _find_owners(rows, annotations, problems)
    for person, row in rows.owned.items():
        if person not in rows.ids:
            _lose(row, f"person_id {person} is no annotation", rows, annotations, problems)
    records = []
    for key, image in rows.images.items():
        source = image.row.get("source", annotations.stem)
        if sources and source not in sources:
            continue
        objects = _objects(key, rows, annotations, problems)
        if key in rows.lost and not objects:
            problems.left_out(annotations, f"image {name_of(image.row)}")
            continue
        record = ImageRecord(image.path, image.image_hw, tuple(objects), source, image.row.get("action"), image.row["id"])
        records.append(image.shown(record))
    return records


def read_part_vocabulary(annotations: Path, name: str, actions: tuple[str, ...], pairs: Pairs | None) -> Vocabulary | None:
    """The parts of a file with the states that their categories list, in the order of the categories; None where none lists any.

    Args:
        name: that the vocabulary gets.
        pairs: left and right parts; None pairs `left_x` with `right_x`.

    Raises:
        InputError: the file cannot be read or is no COCO JSON, or a pair names no part.
    """
    data = _read(annotations)
    used = {str(row.get("category_id")) for row in data["annotations"] if isinstance(row, dict) and row.get("person_id") is not None}
    categories = _categories(data, annotations, Problems())
    own = (row for key, row in categories.items() if row["label"] != PERSON and (row["states"] or row["parent"] or key in used))
    parts = {row["label"]: row["states"] for row in own}
    if not any(parts.values()):
        return None
    states = tuple(dict.fromkeys(state for row in parts.values() for state in row))
    try:
        return Vocabulary(name, tuple(parts), states, tuple(map(tuple, parts.values())), actions, pairs=pairs)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{annotations}: {error}") from None


def _read(annotations: Path) -> Row:
    data = read_json(annotations)
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise InputError(f"{annotations}: expected COCO lists 'images' and 'annotations'")
    return data


def _categories(data: Row, annotations: Path, problems: Problems) -> dict[str, Row]:
    """Categories by id, with their labels; without any, category 1 is `person`. Of two of a name, one that nothing uses goes."""
    used = {str(row.get("category_id")) for row in data["annotations"] if isinstance(row, dict)}
    found: dict[str, Row] = {}
    rows = data.get("categories") or [{"id": 1, "name": "person"}]
    for row in rows if isinstance(rows, list) else [rows]:
        if not isinstance(row, dict) or "id" not in row or not isinstance(row.get("name", ""), str):
            raise InputError(f"{annotations}: category {row!r:.80}: expected id and name")
        row, key = {"name": "person", "states": [], "parent": None, **row}, str(row["id"])
        if not _are_names(states := row["states"]):
            raise InputError(f"{annotations}: category {row['name']!r:.80}: states {states!r:.80}, expected a list of names, each once")
        twin = next((other for other, there in found.items() if row["name"] == there["name"]), None)
        if key in found or (twin in used and key in used):
            raise InputError(f"{annotations}: category {row['id']} ({row['name']}) stands there twice")
        if twin is None or twin not in used:
            found.pop(twin or "", None)
            found[key] = row
    labels = unified_labels([row["name"] for row in found.values()], annotations, problems)
    return {key: {**row, "label": labels[row["name"]]} for key, row in found.items()}


def _sort_in(row: Row, rows: _Rows) -> None:
    if not isinstance(row, dict):
        raise TypeError("expected an object with image_id and bbox")
    if row.get("id") is not None:
        if record_key(row["id"]) in rows.ids:
            raise ValueError("the id stands there twice")
        rows.ids.add(record_key(row["id"]))
    if (image := record_key(row["image_id"])) in rows.bad_images:
        return
    if image not in rows.images:
        raise ValueError(f"image_id {row['image_id']!r} is not among the images")
    category = _category(row, rows)
    if category["label"] != PERSON and row.get("person_id") is not None:
        part = _part(row, category, rows.images[image].image_hw)
        person = record_key(row["person_id"])
        rows.parts[person].append(part)
        rows.owned.setdefault(person, row)
    else:
        rows.objects[image].append(row)


def _find_owners(rows: _Rows, annotations: Path, problems: Problems) -> None:
    """Give parts without `person_id` to the persons whose boxes hold them; their categories have a `parent` or list `states`."""
    for key, objects in rows.objects.items():
        labelled = [(_category(row, rows), row) for row in objects]
        loose = [(known, row) for known, row in labelled if known["label"] != PERSON and (known["parent"] or known["states"])]
        persons = {}
        for known, row in labelled if loose else ():
            with suppress(TypeError, ValueError):  # told of where the person is made
                if known["label"] == PERSON and row.get("id") is not None and not row.get("iscrowd"):
                    persons[record_key(row["id"])] = _box(row, rows.images[key].image_hw)
        for known, row in loose:
            objects.remove(row)
            try:
                part = _part(row, known, rows.images[key].image_hw)
                owners = [list(persons)[i] for i in containing(part.xyxy, list(persons.values()))]
                give(part, owners, rows.parts, annotations, f"annotation {name_of(row)}", problems)
            except (KeyError, TypeError, ValueError) as error:
                _lose(row, what(error), rows, annotations, problems)


def _lose(row: Any, why: str, rows: _Rows, annotations: Path, problems: Problems) -> None:
    if isinstance(row, dict):
        rows.lost.add(str(row.get("image_id")))
    problems.add(annotations, f"annotation {name_of(row)}", why)


def _objects(key: str, rows: _Rows, annotations: Path, problems: Problems) -> list[ObjectRecord]:
    image, objects = rows.images[key], []
    for row in rows.objects.get(key, ()):
        try:
            objects.append(_object(row, rows, image.image_hw))
        except (KeyError, TypeError, ValueError) as error:
            _lose(row, what(error), rows, annotations, problems)
    try:
        objects += _ignore_regions(image.row, image.image_hw)
    except (TypeError, ValueError) as error:
        problems.add(annotations, f"image {name_of(image.row)}", f"ignore_regions: {error}")
    return objects


def _category(row: Row, rows: _Rows) -> Row:
    key = record_key(row.get("category_id", next(iter(rows.categories))))
    if key not in rows.categories:
        raise ValueError(f"unknown category_id {row['category_id']!r}; known: {', '.join(sorted(rows.categories)[:20])}")
    return rows.categories[key]


def _box(row: Row, image_hw: tuple[int, int]) -> Array:
    """The box of an annotation, around its segmentation where it gives none."""
    if not row.get("bbox") and row.get("segmentation"):
        return checked_box(outline_box(row["segmentation"], image_hw), image_hw)
    return _corners(row.get("bbox"), image_hw)


def _corners(bbox: Any, image_hw: tuple[int, int]) -> Array:
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox {bbox!r:.80}, expected [x, y, width, height]")
    x, y, width, height = (float(value) for value in bbox)
    return checked_box((x, y, x + width, y + height), image_hw)


def _part(row: Row, category: Row, image_hw: tuple[int, int]) -> PartRecord:
    source, score, ignored = row.get("source", "human"), float(row.get("score", 1.0)), bool(row.get("ignore", 0))
    return PartRecord(category["label"], _box(row, image_hw), source, score, ignored, _states(row, category))


def _states(row: Row, category: Row) -> dict[str, bool]:
    """Which of the states that a category lists hold; nothing is known of a part without `states`."""
    holding, possible = row.get("states"), category["states"]
    if holding is None:
        return {}
    if not _are_names(holding):
        raise ValueError(f"states {holding!r:.80}, expected a list of names, each once")
    if unknown := [state for state in holding if state not in possible]:
        raise ValueError(f"state {unknown[0]!r:.80} of {category['name']}; {nearest(unknown[0], possible)}")
    return {state: state in holding for state in possible}


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value) and len(set(value)) == len(value)


def _object(row: Row, rows: _Rows, image_hw: tuple[int, int]) -> ObjectRecord:
    category = _category(row, rows)
    points = _named_points(row, category)
    known33 = row.get("keypoints33")
    parts = rows.parts.get(str(row.get("id")), ())
    return ObjectRecord(
        xyxy=_box(row, image_hw),
        keypoints17=to_coco(points),
        keypoints33=as_points(known33, 33) if known33 and any(known33) else to_blazepose(points),
        crowd=bool(row.get("iscrowd", 0)),
        box_source=row.get("box_source", "human"),
        label=category["label"],
        parts=(*parts, *_given_parts(row, image_hw), *head_between(points, image_hw)),
        id=row.get("id"),
    )


def _named_points(row: Row, category: Row) -> dict[str, Array]:
    """Joints by name; WholeBody keeps feet and hands in fields of their own."""
    points: dict[str, Array] = {}
    if row.get("keypoints"):
        values = as_points(row["keypoints"])
        points = dict(zip(joint_names(category.get("keypoints") or (), len(values)), values, strict=True))
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
    return tuple(PartRecord(name, _corners(box, image_hw)) for name, box in given.items() if box and box[2] > 0 and box[3] > 0)


def _ignore_regions(image: Row, image_hw: tuple[int, int]) -> list[ObjectRecord]:
    """PoseTrack's polygons of people that nobody annotated, as crowds: the bound of each."""
    found = []
    for xs, ys in zip(image.get("ignore_regions_x") or (), image.get("ignore_regions_y") or (), strict=False):
        if len(xs) > 2 and min(xs) < max(xs) and min(ys) < max(ys):
            found.append(ObjectRecord(checked_box((min(xs), min(ys), max(xs), max(ys)), image_hw), crowd=True))
    return found

"""Saved detections (COCO results, parses) against annotated images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from detectors.evaluation import Item
from detectors.suppression import Boxes
from parsing.datasets.coco_images import record_key
from parsing.datasets.records import PERSON, ImageRecord, true_parts
from parsing.document import AnyParse, read_parse
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.measures.boxes import BoxTruth
from parsing.types import Array, FrameParse
from parsing.vocabulary import PART_NAMES

CONFUSION_SCORE, CONFUSION_IOU = 0.4, 0.5
_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class FoundFrames:
    """Parsed frames by the name of their video and their index, and the parts that their parses know."""

    parts: tuple[str, ...]
    frames: dict[tuple[str, int], FrameParse]

    def of(self, record: ImageRecord) -> FrameParse | None:
        """The frame that an annotated image is: an image parsed on its own, or frame N - 1 of `VIDEO` for `VIDEO/img_0000N.jpg`."""
        return next((self.frames[place] for place in places_of(record) if place in self.frames), None)


def places_of(record: ImageRecord) -> list[tuple[str, int]]:
    """Names of videos and indices of frames that an annotated image may be, the likeliest first."""
    number = _NUMBER.search(record.path.stem)
    numbered = [(record.path.parent.name, int(number.group(1)) - 1)] if number else []
    return [(record.path.name, 0), (record.path.stem, 0), *numbered]


def check_parts(parse: AnyParse, parts: Sequence[str]) -> tuple[str, ...]:
    """The parts of a parse.

    Raises:
        InputError: there are `parts`, and they are others.
    """
    if parts and parse.vocabulary.parts != parts:
        raise InputError(f"{parse.facts.name}: its parse has the parts {', '.join(parse.vocabulary.parts)}; expected {', '.join(parts)}")
    return parse.vocabulary.parts


def read_found_frames(path: Path, parts: tuple[str, ...] = ()) -> FoundFrames:
    """The frames of a parse.json, or of every one in a folder; videos go by their names with and without suffix."""
    frames: dict[tuple[str, int], FrameParse] = {}
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: folder without a parse (*.json)")
    for file in files:
        parse = read_parse(file)
        parts = check_parts(parse, parts)
        for name in {parse.facts.name, Path(parse.facts.name).stem}:
            frames.update({(name, frame.index): frame for frame in parse.frames})
    return FoundFrames(parts, frames)


def compare(records: Sequence[ImageRecord], found: Path, parts: tuple[str, ...] = ()) -> tuple[list[Item], tuple[str, ...]]:
    """Every annotated image with what was found in it, and the names of the classes: person and the parts.

    Args:
        found: a COCO results list, a parse.json, or a folder of parses.
        parts: those that a results list means from category 2 on; empty, the default vocabulary's. Parses know their own.

    Raises:
        InputError: nothing was found for any of the images, the file is neither, or parses have other parts than `parts`.
    """
    value = None if found.is_dir() else read_json(found)
    if isinstance(value, list):
        names = parts or PART_NAMES
        boxes = _of_results(records, value, found, len(names))
    else:
        frames = read_found_frames(found, parts)
        names, boxes = frames.parts, _of_parses(records, frames)
    items = [Item(record.source, truth_of(record, names), boxes[i]) for i, record in enumerate(records) if i in boxes]
    if not items:
        raise InputError(f"{found}: holds nothing for any of the {len(records)} annotated images")
    return items, (PERSON, *names)


def truth_of(record: ImageRecord, parts: Sequence[str]) -> BoxTruth:
    """Persons (class 0) and their P parts (1 to P) of an image; crowds and uncertain parts are ignored regions."""
    boxes, classes, crowd = [], [], []
    for person in record.persons:
        boxes.append(person.xyxy)
        classes.append(0)
        crowd.append(person.crowd)
        part_boxes, known, ignored = true_parts(person, parts)
        for i in np.flatnonzero(known | ignored):
            boxes.append(part_boxes[i])
            classes.append(int(i) + 1)
            crowd.append(bool(ignored[i]))
    return BoxTruth(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, int), np.array(crowd, bool))


def confusion_matrix(items: Sequence[Item], class_names: Sequence[str]) -> Array:
    """(C + 1, C + 1) counts at IoU 0.5 and score 0.4: rows are the truth, columns what was found; the last is nothing."""
    targets = [sv.Detections(xyxy=i.truth.xyxy[~i.truth.crowd], class_id=i.truth.class_ids[~i.truth.crowd]) for i in items]
    found = [sv.Detections(xyxy=b, confidence=s, class_id=c.astype(int)) for b, s, c in (i.found for i in items)]
    matrix = sv.ConfusionMatrix.from_detections(found, targets, list(class_names), CONFUSION_SCORE, CONFUSION_IOU)
    return np.asarray(matrix.matrix, int)


def _of_parses(records: Sequence[ImageRecord], found: FoundFrames) -> dict[int, Boxes]:
    return {i: boxes_of(frame) for i, record in enumerate(records) if (frame := found.of(record)) is not None}


def boxes_of(frame: FrameParse) -> Boxes:
    """Persons (class 0) and the parts that are seen (1 to P) of a frame."""
    rows, columns = np.nonzero(frame.parts.visible)
    boxes = np.concatenate([frame.persons.xyxy, frame.parts.xyxy[rows, columns]])
    scores = np.concatenate([frame.persons.scores, frame.parts.scores[rows, columns]])
    return boxes, scores, np.concatenate([np.zeros(len(frame.persons), int), columns + 1])


def _of_results(records: Sequence[ImageRecord], rows: list[Any], path: Path, num_parts: int) -> dict[int, Boxes]:
    """COCO results: category 1 is the person, the parts follow from 2 on."""
    index = {record_key(record.id): i for i, record in enumerate(records)}
    columns: dict[int, list[tuple[list[float], float, int]]] = {i: [] for i in range(len(records))}
    for number, row in enumerate(rows):
        try:
            x, y, width, height = map(float, row["bbox"])
            score, category, image = float(row["score"]), int(row["category_id"]), index[record_key(row["image_id"])]
            if not np.isfinite([x, y, width, height, score]).all() or not 1 <= category <= num_parts + 1:
                raise ValueError(f"category_id {category}, bbox {row['bbox']}, score {score}")
        except (KeyError, TypeError, ValueError) as error:
            what = f"finite numbers, an image_id of the truth and a category_id from 1 to {num_parts + 1}"
            raise InputError(f"{path}: result {number}: expected bbox, score, image_id, category_id: {what} ({error})") from None
        columns[image].append(([x, y, x + width, y + height], score, category - 1))
    return {i: _stacked(found) for i, found in columns.items()}


def _stacked(found: list[tuple[list[float], float, int]]) -> tuple[Array, Array, Array]:
    boxes = np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)
    return boxes, np.array([score for _, score, _ in found], np.float32), np.array([c for _, _, c in found], int)

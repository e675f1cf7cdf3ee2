"""Boxes as annotation tools give them, persons and parts side by side, as records in which each part has its person."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from parsing.datasets.labels import unified_labels
from parsing.datasets.problems import Problems, checked_box
from parsing.datasets.records import CROWD, PERSON, ImageRecord, ObjectRecord, PartRecord
from parsing.errors import InputError
from parsing.media.images import image_size
from parsing.types import Array

_LEAST_INSIDE = 0.5  # share of a part's box that must lie in that of its person
_ALIKE = 0.05  # two persons that hold a part's box by shares that differ less are not told apart


@dataclass(frozen=True, eq=False)
class Region:
    """A labelled box of one picture.

    Args:
        name: of the region in messages.
        xyxy: px, not yet checked.
        states: whether each state holds, where that is known.
        held: in place of `states`, those that hold; others that regions of its label have elsewhere in the file do not.
        key: what other regions may name as their `owner`, the person that they are parts of; without, the box tells.
    """

    name: str
    label: str
    xyxy: Any
    states: Mapping[str, bool] = field(default_factory=dict)
    held: Sequence[str] | None = None
    key: str | None = None
    owner: str | None = None

    @property
    def crowd(self) -> bool:
        return self.states.get(CROWD, False) or CROWD in (self.held or ())


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and its regions.

    Args:
        name: of the picture in messages, and its id.
        lost: whether a region of it could not be read.
        video, frame: what it is a frame of, counted from 0; empty for a picture of its own.
    """

    path: Path
    name: str
    regions: Sequence[Region]
    action: str | None = None
    lost: bool = False
    video: str = ""
    frame: int = 0


def as_records(pictures: Sequence[Picture], file: Path, source: str, problems: Problems) -> list[ImageRecord]:
    """The pictures of a file; where it knows persons, all other labels are parts of them, otherwise all are objects."""
    names = dict.fromkeys(region.label for picture in pictures for region in picture.regions)
    labels = unified_labels(list(names), file, problems)
    seen: dict[str, set[str]] = defaultdict(set)
    for region in (region for picture in pictures for region in picture.regions):
        seen[labels[region.label]].update(region.held or ())
    records = []
    for picture in pictures:
        found = len(problems.found)
        try:
            size = image_size(picture.path)
        except InputError as error:
            problems.add(file, picture.name, str(error))
            continue
        objects = _objects(picture, labels, seen, size, file, problems)
        if not objects and (picture.lost or len(problems.found) > found):
            problems.left_out(file, picture.name)
            continue
        about = picture.action, picture.name, picture.video, picture.frame
        records.append(ImageRecord(picture.path, size, tuple(objects), source, *about))
    return records


def _objects(
    picture: Picture, labels: Mapping[str, str], seen: Mapping[str, set[str]], size: tuple[int, int], file: Path, problems: Problems
) -> list[ObjectRecord]:
    boxes: list[tuple[Region, Array]] = []
    for region in picture.regions:
        try:
            boxes.append((region, checked_box(region.xyxy, size)))
        except ValueError as error:
            problems.add(file, f"{picture.name}: {region.name}", str(error))
    if PERSON not in labels.values():
        return [ObjectRecord(box, crowd=region.crowd, label=labels[region.label]) for region, box in boxes]
    persons = [(region, box) for region, box in boxes if labels[region.label] == PERSON]
    counts = Counter(region.key for region, _ in persons)
    keys = {region.key: i for i, (region, _) in enumerate(persons) if region.key is not None and counts[region.key] == 1}
    parts: dict[int, list[PartRecord]] = defaultdict(list)
    for region, box in boxes:
        if labels[region.label] == PERSON:
            continue
        label, where = labels[region.label], f"{picture.name}: {region.name}"
        states = region.states if region.held is None else {state: state in region.held for state in sorted(seen[label])}
        part = PartRecord(label, box, states=states)
        owner = keys.get(region.owner) if region.owner is not None else None
        owners = [owner] if owner is not None else containing(box, [other for _, other in persons])
        try:
            give(part, owners, parts, file, where, problems)
        except ValueError as error:
            problems.add(file, where, str(error))
    return [
        ObjectRecord(box, crowd=region.crowd, parts=tuple(parts[i]), id=region.key or region.name)
        for i, (region, box) in enumerate(persons)
    ]


def containing(box: Array, persons: Sequence[Array]) -> list[int]:
    """Which person's box holds most of a part's box; several where they are not told apart, none where none holds half of it."""
    if not persons:
        return []
    others = np.stack(persons)
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    inside = sides.clip(0).prod(1) / (box[2:] - box[:2]).prod()
    return [] if inside.max() < _LEAST_INSIDE else np.flatnonzero(inside > inside.max() - _ALIKE).tolist()


def give(part: PartRecord, owners: Sequence[Any], parts: dict[Any, list[PartRecord]], file: Path, where: str, problems: Problems) -> None:
    """Add a part to its person; where several may be meant, to each as a region that is neither learned nor held against anyone.

    Raises:
        ValueError: there is no person, or it has such a part.
    """
    if not owners:
        raise ValueError(f"{part.name} lies in no person's box")
    if len(owners) > 1:
        problems.note(file, f"{where}: {part.name} lies in {len(owners)} persons alike, so it is ignored in them")
        for owner in owners:
            parts[owner].append(PartRecord(part.name, part.xyxy, ignored=True))
    elif any(other.name == part.name and not other.ignored for other in parts[owners[0]]):
        raise ValueError(f"a second {part.name} of one person")
    else:
        parts[owners[0]].append(part)


def turned_box(xyxy: Sequence[float], degrees: float, about: tuple[float, float]) -> list[float]:
    """The upright box around one that is turned clockwise about a point."""
    x1, y1, x2, y2 = xyxy
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]) - about
    turned = corners @ np.array([[cos, sin], [-sin, cos]]) + about
    return [*turned.min(0).tolist(), *turned.max(0).tolist()]

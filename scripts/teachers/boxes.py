"""Persons of a picture, from the boxes of YOLOX-nano, those of MoveNet MultiPose, and the annotations that there were.

The levels below come from how often boxes of each score lie on a person whom a human marked, in COCO and `fashion`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from parsing.geometry import box_areas, box_ious
from parsing.types import Array
from teachers.movenet import Boxes

Annotation = dict[str, Any]

MIN_YOLOX, MIN_MULTIPOSE = 0.15, 0.12
MIN_BOTH, MIN_YOLOX_ALONE, MIN_MULTIPOSE_ALONE = 0.45, 0.6, 0.5  # of a person; what is weaker is to be ignored,
WEAKEST_YOLOX, WEAKEST_MULTIPOSE = 0.2, 0.15  # and what is weaker still is nothing
LABELLED_SOURCES = ("coco", "fashion")  # humans marked all persons, whose boxes stay


@dataclass(eq=False)
class Person:
    """A person, or a region to be ignored.

    Args:
        box: (4,) xyxy px.
        yolox, multipose: scores of the detectors, 0 where one is silent; None where the box is a human's or the data set's.
        iou: of the two detectors' boxes, 0 where there is one alone.
        joints: (17, 3) of MultiPose, if it has the person.
        old: the annotation that the person had.
        lost: only the old annotation knows this person.
        revived: the box is the old annotation's again.
        dropped: neither a person nor to be ignored.
    """

    box: Array
    yolox: float | None = None
    multipose: float | None = None
    iou: float = 0.0
    joints: Array | None = None
    old: Annotation | None = None
    source: str = "teacher"
    ignored: bool = False
    lost: bool = False
    revived: bool = False
    dropped: bool = False

    @property
    def best(self) -> float:
        """The higher score of the two detectors."""
        return max(self.yolox or 0.0, self.multipose or 0.0)

    @property
    def had_pose(self) -> bool:
        return self.old is not None and any(self.old["keypoints"])

    @property
    def by_teachers(self) -> bool:
        """Whether the teachers may change what it is: not where a human, or the data set itself, says so."""
        return self.yolox is not None


def find_persons(image: Annotation, old: list[Annotation], yolox: Boxes, multipose: Boxes) -> list[Person]:
    """All persons and regions to be ignored of a picture, before a second look (`second_look`)."""
    humans = [a for a in old if a["box_source"] == "human" or image["source"] in LABELLED_SOURCES]
    persons = [Person(xyxy(a), old=a, source=a["box_source"], ignored=bool(a["iscrowd"])) for a in humans]
    if image["source"] not in LABELLED_SOURCES:
        persons = _with_teachers(persons, [a for a in old if a["box_source"] != "human"], union(yolox, multipose))
    for person in persons:
        _add_joints(person, multipose)
    return persons


def union(yolox: Boxes, multipose: Boxes) -> list[Person]:
    """Boxes of both detectors: pairs that overlap are averaged by their scores, the others stay as they are."""
    first = [i for i in without_doubles(yolox, 0.6) if yolox.scores[i] >= MIN_YOLOX]
    second = [j for j in without_doubles(multipose, 0.6) if multipose.scores[j] >= MIN_MULTIPOSE]
    pairs = list(_pairs(yolox.xyxy, multipose.xyxy, first, second))
    found = []
    for i, j, iou in pairs:
        score, other = yolox.scores[i], multipose.scores[j]
        weights = 3 * score + 0.05, (other + 0.05) * (iou > 0.6)
        box = (yolox.xyxy[i] * weights[0] + multipose.xyxy[j] * weights[1]) / sum(weights)
        found.append(Person(box, float(score), float(other), iou, multipose.keypoints[j]))
    paired = [set(column) for column in list(zip(*pairs, strict=True))[:2]] or [set(), set()]
    found += [Person(yolox.xyxy[i], float(yolox.scores[i]), 0.0) for i in first if i not in paired[0]]
    alone = (j for j in second if j not in paired[1])
    return found + [Person(multipose.xyxy[j], 0.0, float(multipose.scores[j]), joints=multipose.keypoints[j]) for j in alone]


def _pairs(yolox: Array, multipose: Array, first: list[int], second: list[int]) -> Iterator[tuple[int, int, float]]:
    """Numbers of boxes that show the same person, each at most once, and their IoU; the best agreement first."""
    ious, within = box_ious(yolox, multipose), inside(multipose, yolox).T
    agreement = ious + 0.5 * ((within > 0.8) & (ious > 0.25))  # MultiPose's boxes end at the joints
    left, right = set(first), set(second)
    for value, i, j in sorted(((agreement[i, j], i, j) for i in first for j in second), reverse=True):
        if value >= 0.45 and i in left and j in right:
            left.remove(i)
            right.remove(j)
            yield i, j, float(ious[i, j])


def strength(person: Person) -> int:
    """2 a person, 1 to be ignored, 0 nothing."""
    if person.iou > 0:
        return 2 if person.best >= MIN_BOTH else 1
    if person.yolox >= MIN_YOLOX_ALONE or person.multipose >= MIN_MULTIPOSE_ALONE:
        return 2
    return 1 if person.yolox >= WEAKEST_YOLOX or person.multipose >= WEAKEST_MULTIPOSE else 0


def _with_teachers(persons: list[Person], old: list[Annotation], found: list[Person]) -> list[Person]:
    """The persons whom humans marked, then the teachers', the surest first, then old boxes that nothing else shows."""
    persons, free = list(persons), list(old)
    for person in sorted(found, key=lambda person: -(person.yolox + person.multipose)):
        level = strength(person)
        known = overlaps(person.box, [p.box for p in persons if p.source == "human"])
        sure = [p.box for p in persons if not p.ignored]
        if not level or known > 0.4 or (level == 1 and overlaps(person.box, sure) > 0.4):
            continue
        if person.iou == 0 and person.best < 0.7 and (inside(person.box[None], stacked(sure)) > 0.85).any():
            level = 1  # one teacher's box in a better one: a part of that person
        near = max(free, key=lambda a: overlaps(person.box, [xyxy(a)]), default=None)
        if near is not None and overlaps(person.box, [xyxy(near)]) > 0.5:
            free.remove(near)
            person.old = near
            if person.iou == 0 and person.had_pose and person.yolox >= 0.3:
                level = 2  # the old pose is a second voice
        person.ignored = level == 1
        persons.append(person)
    for annotation in free:
        if overlaps(xyxy(annotation), [p.box for p in persons]) <= 0.4:
            persons.append(Person(xyxy(annotation), 0.0, 0.0, old=annotation, ignored=True, lost=True))
    return persons


def _add_joints(person: Person, multipose: Boxes) -> None:
    """MultiPose's joints for a person whose box is not of it."""
    if person.joints is None and not person.ignored and len(multipose.xyxy):
        ious = box_ious(person.box[None], multipose.xyxy)[0]
        best = int(ious.argmax())
        if ious[best] > 0.5 and multipose.scores[best] > 0.1:
            person.joints = multipose.keypoints[best]


def without_doubles(boxes: Boxes, iou: float) -> list[int]:
    """Numbers of the boxes, best first, that overlap no better one by `iou` or more."""
    ious, kept = box_ious(boxes.xyxy, boxes.xyxy), []
    for i in np.argsort(-boxes.scores).tolist():
        if (ious[i, kept] < iou).all():
            kept.append(i)
    return kept


def inside(first: Array, second: Array) -> Array:
    """(N, M) share of each of (N, 4) boxes that lies in each of (M, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.clip(high - low, 0, None).prod(2) / np.maximum(box_areas(first), 1e-9)[:, None]


def overlaps(box: Array, others: list[Array]) -> float:
    """The largest IoU of a box with any of the others, 0 without others."""
    return float(box_ious(box[None], stacked(others)).max(initial=0))


def stacked(boxes: list[Array]) -> Array:
    return np.array(boxes, float).reshape(-1, 4)


def xyxy(annotation: Annotation) -> Array:
    x, y, width, height = annotation["bbox"]
    return np.array([x, y, x + width, y + height])

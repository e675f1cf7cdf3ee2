"""A second look at the persons of a picture: boxes in boxes, single votes in gyms, people who lie or are folded up."""

from __future__ import annotations

from parsing.geometry import box_areas
from teachers.boxes import Annotation, Person, inside, overlaps, stacked, xyxy

GYM = "exercise"


def second_look(image: Annotation, persons: list[Person]) -> list[Person]:
    """The persons and regions to be ignored that remain."""
    in_gym = image["source"] == GYM
    for person in persons:
        if person.by_teachers and not person.lost and person.iou == 0:
            _doubt_single_vote(person, in_gym)
    _doubt_boxes_in_boxes(persons)
    if in_gym:
        for person in persons:
            if person.ignored and person.had_pose:
                _revive(person, persons)
            elif person.lost and not person.had_pose:
                person.dropped = True
    return [person for person in persons if not person.dropped]


def _doubt_single_vote(person: Person, in_gym: bool) -> None:
    """Machines in gyms look like people to one detector or the other."""
    if in_gym and not person.had_pose and person.yolox < 0.8:
        person.ignored = True
    if person.ignored and person.best < (0.3 if in_gym else 0.25):
        person.dropped = True


def _doubt_boxes_in_boxes(persons: list[Person]) -> None:
    """A box in a larger one is a part of that person, or somebody who is hardly seen."""
    larger = [person for person in persons if not person.ignored]
    for person in persons:
        if person.dropped or not person.by_teachers:
            continue
        for other in larger:
            share = _area(person) / _area(other)
            if other is person or other.ignored or share > 1 or inside(person.box[None], other.box[None])[0, 0] <= 0.88:
                continue
            if person.ignored and share < 0.5:
                person.dropped = True
            elif not person.ignored and (share > 0.5 or (share > 0.35 and person.iou == 0)):
                person.ignored = True


def _revive(person: Person, persons: list[Person]) -> None:
    """Detectors are weak at people who lie or are folded up, where the old box stood on a pose."""
    old = xyxy(person.old)
    box = (person.box + old) / 2 if overlaps(person.box, [old]) > 0.6 else old
    others = stacked([p.box for p in persons if not p.ignored])
    covered = overlaps(box, list(others)) > 0.5 or (inside(others, box[None]) > 0.8).any() or (inside(box[None], others) > 0.8).any()
    if not covered:
        person.box, person.ignored, person.dropped, person.revived = box, False, False, True


def _area(person: Person) -> float:
    return float(box_areas(person.box[None])[0])

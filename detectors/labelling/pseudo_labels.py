"""Pseudo-labels for parts (Hikvision, Kinetics-TPS 2021, section 2.2.2): a teacher fills in what annotators left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from detectors import PART_DETECTORS
from detectors.data import DetectionDataConfig
from detectors.evaluation import frame_of
from parsing.configs import Choice, Share, StageConfig, config
from parsing.datasets.records import ImageRecord, ObjectRecord, PartRecord, true_parts
from parsing.errors import InputError
from parsing.geometry import box_ious
from parsing.stages import PartDetector
from parsing.types import Array, Detections, Parts

OTHER_SIDE_IOU = 0.5


@config
class PseudoLabelConfig:
    """Who labels what.

    Args:
        teacher: config of a part detector; its own score thresholds are ignored.
        data: where the annotated images are; `train` is labelled.
        positive: missing parts that score above this become positives.
        ignore: those that score above this, up to `positive`, become regions that no loss counts.
        persons: `annotated` completes persons of whom some part is annotated, `all` labels the others too.
        min_side_px: smaller boxes are not added.
    """

    teacher: Annotated[StageConfig, Choice(PART_DETECTORS)]
    data: DetectionDataConfig
    positive: Share = 0.4
    ignore: Share = 0.1
    persons: Literal["annotated", "all"] = "annotated"
    min_side_px: Annotated[float, Field(ge=0, le=1e6)] = 3.0

    def __post_init__(self) -> None:
        if self.ignore > self.positive:
            raise InputError(f"ignore: {self.ignore} is above positive ({self.positive})")


@dataclass
class Additions:
    """How many boxes of each part of the teacher were there, and were added."""

    truth: Counter[str] = field(default_factory=Counter)
    positive: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """A table, a line a part."""
        columns = (self.truth, self.positive, self.ignored)
        names = dict.fromkeys(name for column in columns for name in column)
        rows = [*((n, *(c[n] for c in columns)) for n in names), ("all", *(column.total() for column in columns))]
        return [f"{'part':<12} {'truth':>8} {'positive':>9} {'ignored':>8}", *(f"{n:<12} {t:>8} {p:>9} {i:>8}" for n, t, p, i in rows)]


def add_pseudo_labels(
    records: Sequence[ImageRecord], teacher: PartDetector, settings: PseudoLabelConfig, additions: Additions
) -> Iterator[ImageRecord]:
    """The records with the parts that the teacher found and the ground truth lacks; ground truth always wins.

    Args:
        additions: counts, filled on the way.
    """
    for record in records:
        people = [
            person for person in record.persons if not person.crowd and (person.has_parts(teacher.part_names) or settings.persons == "all")
        ]
        if not people:
            yield record
            continue
        persons = Detections(np.stack([person.xyxy for person in people]), np.ones(len(people)), np.zeros(len(people)))
        found = teacher([frame_of(record)], [persons])[0]
        labelled = {id(person): _complete(person, teacher, found, i, settings, additions) for i, person in enumerate(people)}
        yield replace(record, objects=tuple(labelled.get(id(item), item) for item in record.objects))


def _complete(
    person: ObjectRecord, teacher: PartDetector, found: Parts, row: int, settings: PseudoLabelConfig, additions: Additions
) -> ObjectRecord:
    kept = tuple(part for part in person.parts if part.source != "pseudo")
    boxes, known, _ = true_parts(replace(person, parts=kept), teacher.part_names)
    additions.truth.update({name: int(there) for name, there in zip(teacher.part_names, known, strict=True)})
    new = []
    for i in np.flatnonzero(~known & found.visible[row]):
        score, box = round(float(found.scores[row, i]), 4), found.xyxy[row, i]
        too_small = float((box[2:] - box[:2]).min()) < settings.min_side_px
        if score <= settings.ignore or too_small or _taken(box, int(teacher.swap[i]), boxes, known):
            continue
        ignored = score <= settings.positive
        name = teacher.part_names[i]
        (additions.ignored if ignored else additions.positive)[name] += 1
        new.append(PartRecord(name, box, "pseudo", score, ignored))
    return replace(person, parts=(*kept, *new))


def _taken(box: Array, other: int, boxes: Array, known: Array) -> bool:
    """Whether annotators say that this is the part of the other side."""
    return bool(known[other]) and float(box_ious(box[None], boxes[other][None])[0, 0]) > OTHER_SIDE_IOU

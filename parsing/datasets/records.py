"""Annotated images as typed records: what every reader of a data set gives, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from parsing.errors import InputError
from parsing.pose import STATE_NAMES, part_boxes, part_states
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, Pairs, Vocabulary

PERSON = "person"
CROWD = "is_crowd"  # state of a box in an annotation tool, named as Datumaro names COCO's iscrowd


@dataclass(frozen=True, eq=False)
class PartRecord:
    """One annotated part of a person.

    Args:
        name: of the data set's own vocabulary.
        xyxy: (4,) float32 pixels of the image.
        source: who says so: `human`, `teacher` or `pseudo`.
        score: in [0, 1]; 1 for what a person has drawn.
        ignored: too uncertain to be a positive, too likely to be background.
        states: whether each state holds, where the data set says so; of all others nothing is known.
    """

    name: str
    xyxy: Array
    source: str = "human"
    score: float = 1.0
    ignored: bool = False
    states: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ObjectRecord:
    """One annotated object, mostly a person.

    Args:
        xyxy: (4,) float32 pixels of the image.
        keypoints17: (17, 3) x, y, v in COCO order (v: 0 unlabelled, 1 hidden, 2 visible), or None.
        keypoints33: (33, 3) x, y, visibility in [0, 1] in BlazePose order, or None.
        crowd: the box holds many objects, or one not to be judged; a detector is neither rewarded nor punished inside it.
        box_source: `human` or `teacher`.
        label: class of the object.
        parts: boxes of parts that the data set itself gives.
        id: what the file calls it.
    """

    xyxy: Array
    keypoints17: Array | None = None
    keypoints33: Array | None = None
    crowd: bool = False
    box_source: str = "human"
    label: str = PERSON
    parts: tuple[PartRecord, ...] = ()
    id: int | str | None = None

    @property
    def best_keypoints(self) -> Array | None:
        """The richer of the two sets of keypoints; None without any."""
        return self.keypoints33 if self.keypoints33 is not None else self.keypoints17

    def has_parts(self, names: Sequence[str]) -> bool:
        """Whether boxes are given for some of these parts, or keypoints from which some follow by rule."""
        by_rule = self.best_keypoints is not None and not set(names).isdisjoint(PART_NAMES)
        return by_rule or any(part.name in names for part in self.parts)


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One annotated image: where it lies, its size, its objects, the source that it came from, and its action if it has one.

    Args:
        video, frame: what it is a frame of, counted from 0; empty for an image of its own.
    """

    path: Path
    image_hw: tuple[int, int]
    objects: tuple[ObjectRecord, ...]
    source: str
    action: str | None = None
    id: int | str | None = None
    video: str = ""
    frame: int = 0

    @property
    def persons(self) -> tuple[ObjectRecord, ...]:
        return tuple(item for item in self.objects if item.label == PERSON)


def part_names(records: Sequence[ImageRecord]) -> tuple[str, ...]:
    """The ten parts that follow from keypoints by rule, then the data set's own in alphabetical order."""
    own = {part.name for record in records for item in record.objects for part in item.parts}
    return (*PART_NAMES, *sorted(own - set(PART_NAMES)))


def part_vocabulary(records: Sequence[ImageRecord], name: str, actions: tuple[str, ...], pairs: Pairs | None) -> Vocabulary | None:
    """The annotated parts with the states that anything is known of, both in alphabetical order; None where there is no state.

    Raises:
        InputError: a pair names no part.
    """
    known: dict[str, set[str]] = {}
    for part in (part for record in records for person in record.persons for part in person.parts):
        known.setdefault(part.name, set()).update(part.states)
    rows = {part: tuple(sorted(known[part])) for part in sorted(known)}
    states = tuple(sorted(set().union(*known.values())))
    try:
        return Vocabulary(name, tuple(rows), states, tuple(rows.values()), actions, pairs=pairs) if states else None  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def true_parts(person: ObjectRecord, names: Sequence[str]) -> tuple[Array, Array, Array]:
    """Ground truth of a person's parts: given boxes win over boxes by rule from keypoints.

    Args:
        names: P part names; the rules know those of the default vocabulary, all others are known where their box is given.

    Returns:
        (P, 4) float32 px in the order of the names, (P,) bool whether the part is known, and (P,) bool whether it
        is only an ignored region. All that is unknown is zero.
    """
    position = {name: i for i, name in enumerate(names)}
    boxes, known, ignored = np.zeros((len(names), 4), np.float32), np.zeros(len(names), bool), np.zeros(len(names), bool)
    if person.best_keypoints is not None:
        for name, box, sure in zip(PART_NAMES, *part_boxes(person.best_keypoints, person.xyxy), strict=True):
            if name in position:
                boxes[position[name]], known[position[name]] = box, sure
    for part in person.parts:
        i = position.get(part.name)
        if i is None or (known[i] and (part.ignored or part.source == "pseudo")):
            continue  # not among the names, or ground truth wins
        boxes[i], known[i], ignored[i] = part.xyxy, not part.ignored, part.ignored
    return boxes, known, ignored


def true_states(person: ObjectRecord, parts: Sequence[str], states: Sequence[str], margin: float = 0.0) -> tuple[Array, Array]:
    """Ground truth of a person's part states: given ones win over those by rule from keypoints.

    Args:
        margin: of the rules, see `parsing.pose.part_states`.

    Returns:
        (P, S) bool whether a state holds, and (P, S) bool whether that is known.
    """
    holds, known = np.zeros((2, len(parts), len(states)), bool)
    if person.best_keypoints is not None:
        ruled = [np.array([(i, rule.index(name)) for i, name in enumerate(names) if name in rule], int).reshape(-1, 2).T
                 for names, rule in ((parts, PART_NAMES), (states, STATE_NAMES))]  # fmt: skip
        (rows, rule_rows), (columns, rule_columns) = ruled
        for matrix, by_rule in zip((holds, known), part_states(person.best_keypoints, person.xyxy, margin), strict=True):
            matrix[np.ix_(rows, columns)] = by_rule[np.ix_(rule_rows, rule_columns)]
    for part in person.parts:
        for state, value in part.states.items():
            if part.name in parts and state in states:
                at = parts.index(part.name), states.index(state)
                holds[at], known[at] = value, True
    return holds, known

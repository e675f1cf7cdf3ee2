"""The persons, parts and proposals of one video as flat columns, which the score is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parsing.errors import InputError
from parsing.kinetics_tps.annotations import MAX_PERSONS, MAX_PROPOSALS, HumanEntry, read_frame
from parsing.types import Array
from parsing.vocabulary import PART_NAMES

_PART_IDS = {name: i for i, name in enumerate(PART_NAMES)}


@dataclass(frozen=True, eq=False)
class Columns:
    """What one file says of the frames of one video.

    Args:
        frame_of: (N,) frame of each person, ascending.
        boxes: (N, 4) float32 of persons: the benchmark compares them in single precision.
        owner, part: (M,) person and position in PART_NAMES of each part, by person.
        first, count: (M,) where its proposals begin, and how many they are.
        part_boxes: (K, 4) float64 of proposals.
        verbs: (K,) number of each proposal's verb in `names`, the table that ground truth and prediction share.
    """

    frame_of: Array
    boxes: Array
    owner: Array
    part: Array
    first: Array
    count: Array
    part_boxes: Array
    verbs: Array


class VerbTable:
    """Numbers verbs as they come: equal verbs, compared as whole objects, share a number."""

    def __init__(self) -> None:
        self.ids: dict[Any, int] = {}

    def number(self, verb: Any) -> int:
        key = tuple(map(_key, verb)) if isinstance(verb, list) else verb
        return self.ids.setdefault(key, len(self.ids))

    @property
    def names(self) -> list[str]:
        return [key if isinstance(key, str) else "+".join(map(str, key)) for key in self.ids]


def columns_of(frames: Sequence[Any], where: Sequence[str], verbs: VerbTable, *, limits: bool) -> Columns:
    """Flat columns of the frames of a video.

    Args:
        frames: JSON objects of frames in any known form.
        where: file, video and frame of each, for messages.
        limits: as in `read_frame`.

    Raises:
        InputError: names the first frame and person that does not fit.
    """
    try:
        columns = _gather(frames, verbs, limits)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        columns = None
    if columns is None:  # a rare form, or wrong: the careful reader tells
        read = [read_frame(frame, place, limits=limits) for frame, place in zip(frames, where, strict=True)]
        columns = _gather([{"humans": [_plain(human) for human in humans]} for humans in read], verbs, limits)
    if columns is None:
        raise InputError(f"{where[0]}: cannot be read")
    return columns


def _gather(frames: Sequence[Any], table: VerbTable, limits: bool) -> Columns | None:
    """The columns of frames in the usual forms; None (or an error of a lookup) where something is out of the ordinary."""
    frame_of: list[int] = []
    boxes: list[Any] = []
    owner: list[int] = []
    part: list[int] = []
    count: list[int] = []
    part_boxes: list[Any] = []
    verbs: list[int] = []
    ids, number = table.ids, table.number
    for f, frame in enumerate(frames):
        humans = frame["humans"]
        if type(humans) is not list or (limits and len(humans) > MAX_PERSONS):
            return None
        for human in humans:
            person = len(boxes)
            frame_of.append(f)
            boxes.append(human["box"])
            for name, found in human["parts"].items():
                box, verb = found["box"], found["verb"]
                owner.append(person)
                part.append(_PART_IDS[name])
                if type(box[0]) is list:
                    if type(verb) is not list or len(verb) != len(box) or (limits and len(box) > MAX_PROPOSALS):
                        return None
                    count.append(len(box))
                    part_boxes += box
                    verbs += [number(one) for one in verb]
                else:
                    count.append(1)
                    part_boxes.append(box)
                    verbs.append(ids[verb] if type(verb) is str and verb in ids else number(verb))
    counts = np.array(count, np.int64)
    columns = Columns(
        np.array(frame_of, np.int64),
        np.array(boxes, np.float32).reshape(len(boxes), 4),
        np.array(owner, np.int64),
        np.array(part, np.int64),
        np.cumsum(counts) - counts,
        counts,
        np.array(part_boxes, np.float64).reshape(len(part_boxes), 4),
        np.array(verbs, np.int64),
    )
    return columns if _sane(columns.boxes) and _sane(columns.part_boxes) and all(map(_is_verb, ids)) else None


def _sane(boxes: Array) -> bool:
    return bool(np.isfinite(boxes).all() and (boxes[:, 2:] >= boxes[:, :2]).all())


def _is_verb(key: Any) -> bool:
    return isinstance(key, str) or (isinstance(key, tuple) and bool(key) and all(map(_is_verb, key)))


def _key(verb: Any) -> Any:
    return tuple(map(_key, verb)) if isinstance(verb, list) else verb


def _plain(human: HumanEntry) -> dict[str, Any]:
    """Back to the form with lists, which has no second meaning."""
    parts = {name: {"box": part.boxes.tolist(), "verb": [_listed(verb) for verb in part.verbs]} for name, part in human.parts.items()}
    return {"box": human.box.tolist(), "parts": parts}


def _listed(verb: Any) -> Any:
    return [_listed(one) for one in verb] if isinstance(verb, tuple) else verb

"""The persons, parts and proposals of one video as flat columns, which the score is computed on."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from parsing.datasets.kinetics_tps.annotations import MAX_PERSONS, MAX_PROPOSALS, HumanEntry, read_frame
from parsing.errors import InputError
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
    """Numbers verbs: those that are equal, compared as whole objects, share a number."""

    def __init__(self) -> None:
        self.ids: dict[Any, int] = {}

    def numbers(self, verbs: list[Any]) -> Array:
        try:
            new = set(verbs) - self.ids.keys()
        except TypeError:  # lists
            verbs = list(map(_key, verbs))
            new = set(verbs) - self.ids.keys()
        for verb in new:
            self.ids[verb] = len(self.ids)
        return np.fromiter(map(self.ids.__getitem__, verbs), np.int32, len(verbs))

    @property
    def names(self) -> list[str]:
        return [key if isinstance(key, str) else "+".join(map(str, key)) for key in self.ids]


def columns_of(frames: Sequence[Any], where: Sequence[str], verbs: VerbTable, *, limits: bool) -> Columns:
    """Flat columns of the frames of a video.

    Args:
        frames: JSON objects of frames in any known form, or structs of `decode_frames`.
        where: file, video and frame of each, for messages.
        limits: as in `read_frame`.

    Raises:
        InputError: names the first frame and person that does not fit.
    """
    try:
        columns = _gather(frames, verbs, limits)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, struct.error, OverflowError):
        columns = None
    if columns is None:  # a rare form, or wrong: the careful reader tells
        read = [read_frame(_as_json(frame), place, limits=limits) for frame, place in zip(frames, where, strict=True)]
        columns = _gather([{"humans": [_plain(human) for human in humans]} for humans in read], verbs, limits)
    if columns is None:
        raise InputError(f"{where[0]}: cannot be read")
    return columns


def _gather(frames: Sequence[Any], table: VerbTable, limits: bool) -> Columns | None:
    """The columns of frames in the usual forms; None (or an error of a lookup) where something is out of the ordinary.

    Columns are gathered by chains and maps, which run in C, and by short comprehensions: longer loops over parts would take most of
    the evaluation's time.
    """
    listed = [frame["humans"] if isinstance(frame, dict) else frame.humans for frame in frames]
    if set(map(type, listed)) - {list} or (limits and max(map(len, listed), default=0) > MAX_PERSONS):
        return None
    humans = list(chain.from_iterable(listed))
    if humans and isinstance(humans[0], dict):
        persons, named = [human["box"] for human in humans], [human["parts"] for human in humans]
        parts = list(chain.from_iterable(map(dict.values, named)))
        boxes, verbs = [part["box"] for part in parts], [part["verb"] for part in parts]
    else:
        persons, named = [human.box for human in humans], [human.parts for human in humans]
        parts = list(chain.from_iterable(map(dict.values, named)))
        boxes, verbs = [part.box for part in parts], [part.verb for part in parts]
    count = np.ones(len(parts), np.int64)
    if boxes and isinstance(boxes[0][0], list | tuple):  # lists of proposals, the form of 2021, as all others must have then
        if not all(type(b[0]) in (list, tuple) and type(v) is list and len(b) == len(v) for b, v in zip(boxes, verbs, strict=True)):
            return None
        count = np.array(list(map(len, boxes)), np.int64)
        if limits and count.max() > MAX_PROPOSALS:
            return None
        boxes, verbs = list(chain.from_iterable(boxes)), list(chain.from_iterable(verbs))
    columns = Columns(
        np.repeat(np.arange(len(frames)), list(map(len, listed))),
        _box_rows(persons).astype(np.float32),
        np.repeat(np.arange(len(humans)), list(map(len, named))),
        np.frombuffer(bytes(map(_PART_IDS.__getitem__, chain.from_iterable(named))), np.uint8),
        np.cumsum(count) - count,
        count,
        _box_rows(boxes),
        table.numbers(verbs),
    )
    return columns if _sane(columns.boxes) and _sane(columns.part_boxes) and all(map(_is_verb, table.ids)) else None


def _as_json(frame: Any) -> Any:
    """A struct of `decode_frames` as the object that it was decoded from."""
    if not hasattr(frame, "humans"):
        return frame
    from msgspec.json import decode, encode  # late, as result files alone need it

    return decode(encode(frame))


def _box_rows(boxes: list[Any]) -> Array:
    """(N, 4) float64; raises ValueError, struct.error or OverflowError where a box does not have four numbers."""
    if set(map(len, boxes)) - {4}:
        raise ValueError("a box without four numbers")
    packed = struct.pack(f"{4 * len(boxes)}d", *chain.from_iterable(boxes))  # faster than `fromiter`, and refuses texts
    return np.frombuffer(packed, np.float64).reshape(-1, 4)


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

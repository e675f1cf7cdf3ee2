"""One frame's annotation or result, in every form that is in use, as checked columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parsing.configs import nearest
from parsing.errors import InputError
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, read_list

FRAME_NAME = re.compile(r"img_(\d{5,9})\.(?:json|jpg|jpeg|png)")
MAX_PERSONS, MAX_PROPOSALS = 10, 5
PART_LIST = "parts.txt"


@dataclass(frozen=True, eq=False)
class PartEntry:
    """One part: boxes (n, 4) float32 px as inclusive corners, and its verbs as they were written, one for each box.

    A verb is compared as a whole: `("bend",)` is a list in the file and is not `"bend"`. `unknown` is an extension: states of
    which an annotation does not know whether they hold; all others that it does not name do not.
    """

    boxes: Array
    verbs: tuple[Any, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class HumanEntry:
    """One person: box (4,) float64 px, and its parts by name."""

    box: Array
    parts: Mapping[str, PartEntry]
    number: int | str | None = None


def read_frame(value: Any, where: str, *, limits: bool = False, parts: Sequence[str] = PART_NAMES) -> list[HumanEntry]:
    """The persons of one frame's JSON object.

    Args:
        value: `{"humans": [{"box": …, "parts": {name: {"box": …, "verb": …}}}]}`; a box flat or in a list, a part's boxes a
            list of boxes with a list of verbs (2021) or one flat box with one verb (2022 and ground truth).
        where: file, video and frame, for messages.
        limits: refuse more than ten persons and more than five proposals of a part.
        parts: names that a part may have.

    Raises:
        InputError: names where, the person and what was expected.
    """
    humans = value.get("humans") if isinstance(value, dict) else None
    if not isinstance(humans, list):
        raise InputError(f"{where}: expected an object with a list 'humans'")
    if limits and len(humans) > MAX_PERSONS:
        raise InputError(f"{where}: {len(humans)} persons, at most {MAX_PERSONS} are scored")
    return [read_human(human, f"{where}: human {i}", limits=limits, parts=parts) for i, human in enumerate(humans)]


def read_human(value: Any, where: str, *, limits: bool = False, parts: Sequence[str] = PART_NAMES) -> HumanEntry:
    """One person; arguments and errors as in `read_frame`."""
    if not isinstance(value, dict) or "box" not in value:
        raise InputError(f"{where}: expected an object with 'box' and 'parts'")
    boxes = _boxes(value["box"], where)
    if len(boxes) != 1:
        raise InputError(f"{where}: {len(boxes)} boxes, a person has one")
    listed = value.get("parts", {})
    if not isinstance(listed, dict):
        raise InputError(f"{where}: parts {listed!r:.60}, expected an object of parts by name")
    found = {name: _part(name, part, f"{where}: {name}", limits, parts) for name, part in listed.items()}
    return HumanEntry(boxes[0], found, value.get("number"))


def part_names(folder: Path) -> tuple[str, ...]:
    """The parts of a data set: a name a line in its `parts.txt`, in this folder; the ten of Kinetics-TPS where there is none.

    Raises:
        InputError: the list cannot be read.
    """
    path = folder / PART_LIST
    return read_list(path) if path.is_file() else PART_NAMES


def frame_number(name: str, where: str) -> int:
    """The 1-based number of `img_%05d.json`; raises InputError for another name."""
    found = FRAME_NAME.fullmatch(name)
    if not found:
        raise InputError(f"{where}: frame {name!r:.60}, expected a name like img_00001.json")
    return int(found[1])


def verb_names(verb: Any) -> tuple[str, ...]:
    """The states in a verb: a text, a list or tuple of texts, or one of such lists."""
    if isinstance(verb, str):
        return (verb,)
    return tuple(dict.fromkeys(name for item in verb for name in verb_names(item)))


def state_ids(names: tuple[str, ...], states: Mapping[str, int], where: str) -> list[int]:
    """Positions in a vocabulary.

    Raises:
        InputError: a state is unknown; names the nearest that is known.
    """
    for name in names:
        if name not in states:
            raise InputError(f"{where}: unknown state {name!r:.60}; {nearest(name, states)}")
    return [states[name] for name in names]


def _part(name: str, value: Any, where: str, limits: bool, parts: Sequence[str]) -> PartEntry:
    if name not in parts:
        raise InputError(f"{where}: unknown part; {nearest(name, parts)}")
    if not isinstance(value, dict) or "box" not in value or "verb" not in value:
        raise InputError(f"{where}: expected an object with 'box' and 'verb'")
    boxes, verb = _boxes(value["box"], where), value["verb"]
    _check_verb(verb, where)
    listed = isinstance(verb, list) and isinstance(value["box"], list) and isinstance(value["box"][0], list)
    if listed and limits and len(verb) != len(boxes):
        raise InputError(f"{where}: {len(boxes)} boxes with {len(verb)} verbs")
    # An annotation may list several states of its one box.
    verbs = tuple(map(_frozen, verb)) if listed and len(verb) == len(boxes) else (_frozen(verb),) * len(boxes)
    if limits and len(boxes) > MAX_PROPOSALS:
        raise InputError(f"{where}: {len(boxes)} proposals, at most {MAX_PROPOSALS} are scored")
    unknown = value.get("unknown", [])
    if not isinstance(unknown, list) or not all(isinstance(state, str) for state in unknown):
        raise InputError(f"{where}: unknown {unknown!r:.60}, expected a list of states")
    return PartEntry(boxes, verbs, tuple(unknown))


def _boxes(value: Any, where: str) -> Array:
    """(n, 4) float64, n >= 1."""
    try:
        given = np.asarray(value)
        boxes = np.zeros(0) if given.dtype.kind == "U" else given.astype(np.float64)  # texts would become numbers
    except (TypeError, ValueError, OverflowError):
        boxes = np.zeros(0)
    if boxes.ndim == 1:
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise InputError(f"{where}: box {value!r:.80}, expected four numbers or a list of such boxes")
    if not np.isfinite(boxes).all():
        raise InputError(f"{where}: box {boxes.tolist()!r:.80} is not finite")
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise InputError(f"{where}: box {value!r:.80} has its corners in the wrong order, expected x1, y1, x2, y2")
    return boxes


def _check_verb(verb: Any, where: str) -> None:
    good = isinstance(verb, str) or (isinstance(verb, list) and verb and all(isinstance(v, str | list) for v in verb))
    if not good:
        raise InputError(f"{where}: verb {verb!r:.60}, expected a text or a list of texts")
    for inner in verb if isinstance(verb, list) else ():
        _check_verb(inner, where)


def _frozen(verb: Any) -> Any:
    return tuple(map(_frozen, verb)) if isinstance(verb, list) else verb

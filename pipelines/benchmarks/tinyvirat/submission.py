"""`answer.txt`, the submission of the TinyAction Challenge: a line for each test clip, its id, then a 0 or 1 for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from parsing.errors import InputError
from parsing.files import atomic
from parsing.types import Array


def write_answer(path: Path, ids: Sequence[str], predicted: Array) -> None:
    """Write `00000 0 0 1 …` lines in the order of `ids`, and read them back with the checks of `read_answer`.

    Args:
        predicted: (N, C) bool.
    """
    with atomic(path) as temporary:
        rows = zip(ids, np.asarray(predicted, int).tolist(), strict=True)
        temporary.write_text("".join(f"{clip} {' '.join(map(str, row))}\n" for clip, row in rows), encoding="ascii")
        read_answer(temporary, ids, np.shape(predicted)[1])


def read_answer(path: Path, ids: Sequence[str], num_classes: int) -> Array:
    """(N, C) bool labels of the clips.

    Args:
        ids: of the annotation file, in its order.

    Raises:
        InputError: names the file, the line and what was expected.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as an answer ({error})") from None
    seen: dict[str, int] = {}
    known = set(ids)
    rows = []
    for number, (line, expected) in enumerate(zip(lines, [*ids, *[None] * len(lines)], strict=False), 1):
        where = f"{path}: line {number}"
        clip, *labels = line.split(" ")
        if clip not in known:
            raise InputError(f"{where}: {clip!r:.40} is the id of no clip; expected {expected or 'the end of the file'}")
        if clip in seen:
            raise InputError(f"{where}: clip {clip} stands in line {seen[clip]} already")
        if clip != expected:
            raise InputError(f"{where}: clip {clip}, expected {expected}: ids in the order of the annotations")
        if len(labels) != num_classes:
            raise InputError(f"{where}: {len(labels)} labels, expected {num_classes} separated by one space")
        odd = [label for label in labels if label not in ("0", "1")]
        if odd:
            raise InputError(f"{where}: label {odd[0]!r:.40}, expected 0 or 1")
        seen[clip] = number
        rows.append([label == "1" for label in labels])
    if len(rows) < len(ids):
        raise InputError(f"{path}: line {len(lines) + 1}: {len(rows)} lines, expected {len(ids)}; clip {ids[len(rows)]} is missing")
    return np.array(rows, bool).reshape(len(ids), num_classes)

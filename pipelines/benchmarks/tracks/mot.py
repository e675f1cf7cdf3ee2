"""Tracks as rows of MOTChallenge's text files: frame (from 1), id, left, top, width, height, confidence, class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from parsing.document import VideoParse, read_parse
from parsing.errors import InputError
from parsing.memory import read_bounded
from parsing.types import Array

NUM_COLUMNS = 8
PERSON_CLASS = 1
MAX_BYTES = 1 << 29
MOST_FRAMES = 1_000_000  # the measures go through all frames of a video, those without anybody too


def read_mot(path: Path) -> Array:
    """(R, 8) rows of a text file; without confidence and class, all are counted persons.

    Raises:
        InputError: it cannot be read, or a line is no row of numbers that fit; names the line.
    """
    rows = []
    for number, line in enumerate(read_bounded(path, MAX_BYTES).decode("utf-8", "replace").splitlines(), 1):
        if line.strip():
            try:
                rows.append(_row(line))
            except ValueError as error:
                raise InputError(f"{path}: line {number}: {error}; expected frame, id, left, top, width, height, …") from None
    if not rows:
        raise InputError(f"{path}: no row in it; expected frame, id, left, top, width, height, …")
    found = np.array(rows)
    _, counts = np.unique(found[:, :2], axis=0, return_counts=True)
    if counts.max() > 1:
        raise InputError(f"{path}: a frame holds a track twice")
    return found


def _row(line: str) -> list[float]:
    values = [float(cell) for cell in line.rstrip(", \t\r").split(",")][:NUM_COLUMNS]
    if len(values) < 6 or not np.isfinite(values).all():
        raise ValueError(f"{line[:60]!r} are not six finite numbers or more")
    if not 1 <= values[0] <= MOST_FRAMES or values[0] % 1 or values[1] % 1 or abs(values[1]) > 1e9:
        raise ValueError(f"frame {values[0]:g} and id {values[1]:g} are not whole, or the frame is not in 1 to {MOST_FRAMES}")
    return [*values, *(1.0, float(PERSON_CLASS))[len(values) - NUM_COLUMNS :]] if len(values) < NUM_COLUMNS else values


def rows_of(parse: VideoParse) -> Array:
    """(R, 8) rows of the persons who have a track."""
    rows = [np.zeros((0, NUM_COLUMNS))]
    for frame in parse.frames:
        ids = frame.persons.track_ids
        if ids is not None and (ids >= 0).any():
            boxes, ids = frame.persons.xyxy[ids >= 0].astype(float), ids[ids >= 0]
            where = np.full(len(ids), frame.index + 1)
            columns = (where, ids, *boxes[:, :2].T, *(boxes[:, 2:] - boxes[:, :2]).T, np.ones(len(ids)), np.full(len(ids), PERSON_CLASS))
            rows.append(np.stack(columns, 1))
    return np.concatenate(rows)


def write_mot(rows: Array, path: Path) -> None:
    """Write rows; where there is none, one that no measure counts, as the package reads no empty files."""
    rows = rows if len(rows) else np.array([[1, -1, 0, 0, 1, 1, 0, PERSON_CLASS]])
    np.savetxt(path, rows, fmt=["%d", "%d", "%.4f", "%.4f", "%.4f", "%.4f", "%g", "%d"], delimiter=",")


def parses_at(path: Path) -> dict[str, VideoParse]:
    """A parse.json, or those of a folder, by the names of their videos without suffix.

    Raises:
        InputError: there is none, or two are of one video.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found: dict[str, VideoParse] = {}
    for file in files:
        parse = read_parse(file)
        name = Path(parse.facts.name).stem
        if name in found:
            raise InputError(f"{file}: a second parse of {name!r:.80}")
        found[name] = parse
    return found


def texts_at(path: Path) -> dict[str, Path]:
    """Text files by the names of their videos: `VIDEO.txt`, or `VIDEO/gt/gt.txt` as MOTChallenge lays them out."""
    if not path.is_dir():
        return {path.parent.parent.name if path.name == "gt.txt" and path.parent.name == "gt" else path.stem: path}
    return {file.stem: file for file in sorted(path.glob("*.txt"))} | {file.parts[-3]: file for file in sorted(path.glob("*/gt/gt.txt"))}


def truth_at(path: Path) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Rows of each annotated video, and of those in parses the numbers of the frames that are annotated.

    Args:
        path: a parse.json or a text file, or a folder of either.

    Raises:
        InputError: there is neither.
    """
    if path.suffix == ".json" or (path.is_dir() and any(path.glob("*.json"))):
        parses = parses_at(path)
        frames = {name: np.array([frame.index + 1 for frame in parse.frames], int) for name, parse in parses.items()}
        return {name: rows_of(parse) for name, parse in parses.items()}, frames
    texts = texts_at(path)
    if not texts:
        raise InputError(f"{path}: folder without parses (*.json) and without MOTChallenge files (VIDEO.txt, VIDEO/gt/gt.txt)")
    return {name: read_mot(file) for name, file in texts.items()}, {}

"""A tree of annotations as a table of persons, read file by file once and cached.

The whole data set has 575,000 annotation files; the table needs about 1 KB a person, and the reader holds one file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parsing.array_files import read_npz
from parsing.datasets.kinetics_tps.annotations import FRAME_NAME, HumanEntry, frame_number, read_frame, state_ids, verb_names
from parsing.datasets.tracks import save_frames
from parsing.errors import InputError
from parsing.files import atomic
from parsing.json_files import read_json
from parsing.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from parsing.types import Array
from parsing.vocabulary import PART_NAMES

_PACKED = ("holds", "unknown")


@dataclass(frozen=True, eq=False)
class PersonIndex:
    """N annotated persons in files of a tree `<class>/<video>/…/img_%05d.json`.

    Args:
        files: annotation files, relative to the tree; file_of: (N,) which one each person stands in.
        person_xyxy: (N, 4), boxes: (N, P, 4) px, zeros where a part is not annotated; visible: (N, P).
        holds, unknown: (N, P, S) whether a part has a state, and whether its annotation says that it does not know.
    """

    files: list[str]
    file_of: Array
    person_xyxy: Array
    boxes: Array
    visible: Array
    holds: Array
    unknown: Array

    def action(self, file: int) -> str:
        return self.files[file].split("/")[0]

    def video(self, file: int) -> str:
        return self.files[file].split("/")[1]

    def frame(self, file: int) -> int:
        """0-based."""
        return frame_number(Path(self.files[file]).name, self.files[file]) - 1


def build_index(tree: Path, states: Sequence[str], cache: Path | None = None, parts: Sequence[str] = PART_NAMES) -> PersonIndex:
    """The persons of a tree, from the cache where it was made of the same files, states and parts.

    Args:
        tree: folder of annotations.
        states: the data set's list of states.
        cache: `.npz` to keep the table in; None reads anew.
        parts: the data set's list of parts.

    Raises:
        InputError: a file does not fit; names it, the person and what was expected.
    """
    files, stamps = _list_files(tree)
    if not files:
        raise InputError(f"{tree}: no annotation <class>/<video>/…/img_00001.json below this folder")
    key = hashlib.sha256(json.dumps([files, stamps, list(states), list(parts)]).encode()).hexdigest()
    if cache is not None and cache.is_file() and (known := _load(cache, key, files)) is not None:
        return known
    index = _read(tree, files, states, parts)
    if cache is not None:
        columns = {name: getattr(index, name) for name in ("file_of", "person_xyxy", "boxes", "visible")}
        with atomic(cache) as temporary, temporary.open("wb") as file:
            packed: dict[str, Any] = {name: np.packbits(getattr(index, name), axis=-1) for name in _PACKED}
            np.savez(file, key=np.array(key), states=np.array(len(states)), **packed, **columns)
    return index


def _list_files(tree: Path) -> tuple[list[str], list[int]]:
    """Annotation files in order, with their times of change."""
    found = []
    for folder, _, names in os.walk(tree):
        for name in names:
            if FRAME_NAME.fullmatch(name) and name.endswith(".json"):
                path = Path(folder, name)
                found.append((path.relative_to(tree).as_posix(), path.stat().st_mtime_ns))
    found.sort()
    short = next((name for name, _ in found if name.count("/") < 2), None)
    if short is not None:
        raise InputError(f"{tree / short}: expected <class>/<video>/{Path(short).name} below {tree}")
    return [name for name, _ in found], [stamp for _, stamp in found]


def _load(cache: Path, key: str, files: list[str]) -> PersonIndex | None:
    try:
        saved = read_npz(cache, ("key", "states", *_PACKED, "file_of", "person_xyxy", "boxes", "visible"))
        if str(saved["key"]) != key:
            return None
        holds, unknown = (np.unpackbits(saved[name], axis=-1, count=int(saved["states"])).astype(bool) for name in _PACKED)
        return PersonIndex(files, saved["file_of"], saved["person_xyxy"], saved["boxes"], saved["visible"], holds, unknown)
    except (ValueError, TypeError, KeyError):
        return None  # damaged or of an older version: made anew


def _read(tree: Path, files: list[str], states: Sequence[str], parts: Sequence[str]) -> PersonIndex:
    numbers = {name: i for i, name in enumerate(states)}
    file_of: list[int] = []
    rows: list[tuple[Array, ...]] = []
    for i, name in enumerate(files):
        where = str(tree / name)
        for human in read_frame(read_json(tree / name, unique_keys=True), where, parts=parts):
            rows.append(_row(human, numbers, parts, f"{where}: human {human.number}"))
            file_of.append(i)
    if not rows:
        raise InputError(f"{tree}: {len(files)} annotations without a person")
    return PersonIndex(files, np.array(file_of), *(np.stack(column) for column in zip(*rows, strict=True)))


def _row(human: HumanEntry, numbers: dict[str, int], parts: Sequence[str], where: str) -> tuple[Array, ...]:
    boxes, visible = np.zeros((len(parts), 4), np.float32), np.zeros(len(parts), bool)
    holds, unknown = np.zeros((2, len(parts), len(numbers)), bool)
    for name, part in human.parts.items():
        p = parts.index(name)
        boxes[p], visible[p] = part.boxes[0], True
        for matrix, states in ((holds, verb_names(part.verbs)), (unknown, part.unknown)):
            matrix[p, state_ids(states, numbers, f"{where}: {name}")] = True
    return human.box.astype(np.float32), boxes, visible, holds, unknown & ~holds


def frame_path(frames: Path, action: str, video: str, index: int) -> Path | None:
    """The extracted picture of a frame below `frames`, under `<class>/<video>/` or `<video>/`; None without one."""
    for folder in (frames / action / video, frames / action / video / video, frames / video):
        for suffix in IMAGE_SUFFIXES:
            if (path := folder / f"img_{index + 1:05d}{suffix}").is_file():
                return path
    return None


def video_path(videos: Path, action: str, video: str) -> Path | None:
    """The file of a video below `videos`, under `<class>/` or not; None without one."""
    tries = (folder / f"{video}{suffix}" for folder in (videos / action, videos) for suffix in VIDEO_SUFFIXES)
    return next((path for path in tries if path.is_file()), None)


def extract_frames(index: PersonIndex, frames: Path, videos: Path, used: Sequence[int]) -> Iterator[str]:
    """Save the pictures of annotated frames that `frames` lacks from their videos, yielding each video that was opened.

    Args:
        used: positions in `index.files`.

    Raises:
        InputError: a frame has neither a picture nor a video, or its video ends before it.
    """
    lacking: dict[tuple[str, str], list[int]] = {}
    for file in used:
        action, video, frame = index.action(file), index.video(file), index.frame(file)
        if frame_path(frames, action, video, frame) is None:
            lacking.setdefault((action, video), []).append(frame)
    for (action, video), wanted in lacking.items():
        source = video_path(videos, action, video)
        if source is None:
            raise InputError(f"{video}: frame {wanted[0] + 1}: no picture below {frames} and no video below {videos}")
        save_frames(source, wanted, frames / action / video)
        yield video

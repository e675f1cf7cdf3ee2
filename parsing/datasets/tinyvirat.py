"""Annotations of TinyVIRAT-v2 (Demir et al. 2021; TinyAction Challenge 2021 and 2022): clips with several labels."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from parsing.configs import nearest
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.types import Array

log = logging.getLogger(__name__)
Split = Literal["train", "val", "test"]
CLIP_ID = re.compile(r"[0-9]{5}")


@dataclass(frozen=True)
class TinyClip:
    """One clip.

    Args:
        id: five digits.
        path: `<video>/<id>.mp4`, below the folder of its split's videos.
        dim: frames, height and width in px.
        labels: its classes in the order of the class map; none where they are not published.
    """

    id: str
    path: str
    dim: tuple[int, int, int]
    labels: tuple[str, ...]


def read_class_map(path: Path) -> tuple[str, ...]:
    """Class names in the order of their numbers, from `{"name": number}`.

    Raises:
        InputError: the file is no such object, or its numbers are not 0, 1, … each once.
    """
    value = read_json(path, unique_keys=True)
    if not isinstance(value, dict) or not value:
        raise InputError(f"{path}: found {value!r:.60}, expected an object of numbers by class name")
    for name, number in value.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(value):
            raise InputError(f"{path}: class {name!r:.60} has number {number!r:.20}, expected 0 to {len(value) - 1}, each once")
    names = sorted(value, key=lambda name: int(value[name]))
    for number, name in enumerate(names):
        if value[name] != number:
            raise InputError(f"{path}: no class has number {number}, and two have {value[name]}: {name!r:.60}; expected each once")
    return tuple(names)


def read_tinyvirat(path: Path, classes: Sequence[str], split: Split) -> list[TinyClip]:
    """The clips of `tiny_train_v2.json`, `tiny_val_v2.json` or `tiny_test_v2_public.json`, in the order of the file.

    Args:
        classes: as `read_class_map` gives them.
        split: only in `test` may a clip have no label.

    Raises:
        InputError: names the file, the clip and what was expected.
    """
    value = read_json(path, unique_keys=True)
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: found {value!r:.60}, expected a list of clips")
    clips = [_clip(item, f"{path}: clip {number}", classes, split) for number, item in enumerate(value)]
    for what in ("id", "path"):
        twice = [key for key, count in Counter(getattr(clip, what) for clip in clips).items() if count > 1]
        if twice:
            raise InputError(f"{path}: {what} {twice[0]!r} stands twice; expected each once")
    repeated = sum(len(item.get("label") or ()) > len(clip.labels) for item, clip in zip(value, clips, strict=True))
    if repeated:
        log.warning("%s: %d of %d clips name a label twice; it counts once", path, repeated, len(clips))
    return clips


def check_files(clips: Sequence[TinyClip], folder: Path) -> None:
    """Raises InputError where videos are not there; says how many, and the first."""
    lost = [folder / clip.path for clip in clips if not (folder / clip.path).is_file()]
    if lost:
        raise InputError(f"{folder}: {len(lost)} of {len(clips)} clips are not there, the first {lost[0]}")


def multi_hot(clips: Sequence[TinyClip], classes: Sequence[str]) -> Array:
    """(N, C) int8: 1 where a clip shows a class, 0 where not; -1 in the whole row of a clip whose labels are not known."""
    truth = np.array([[name in clip.labels for name in classes] for clip in clips], np.int8).reshape(len(clips), len(classes))
    truth[[not clip.labels for clip in clips]] = -1
    return truth


def _clip(item: Any, where: str, classes: Sequence[str], split: Split) -> TinyClip:
    required = ("id", "path", "dim") if split == "test" else ("id", "path", "dim", "label")
    if not isinstance(item, dict):
        raise InputError(f"{where}: found {item!r:.60}, expected an object with {', '.join(required)}")
    clip_id, path = item.get("id"), item.get("path")
    path = path.replace("\\", "/") if isinstance(path, str) else path  # as Windows writes it
    if isinstance(clip_id, str):
        where = f"{where} (id {clip_id:.20})"
    for key in required:
        if key not in item:
            raise InputError(f"{where}: no {key!r}, expected an object with {', '.join(required)}")
    if not isinstance(clip_id, str) or not CLIP_ID.fullmatch(clip_id):
        raise InputError(f"{where}: id {clip_id!r:.60}, expected a text of five digits")
    if not isinstance(path, str) or not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise InputError(f"{where}: path {path!r:.80}, expected <video>/<id>.mp4 below the folder of the videos")
    return TinyClip(clip_id, path, _dim(item["dim"], where), _labels(item.get("label"), where, classes, split))


def _dim(value: Any, where: str) -> tuple[int, int, int]:
    whole = isinstance(value, list) and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in value)
    if not whole or len(value) != 3:
        raise InputError(f"{where}: dim {value!r:.60}, expected [frames, height, width]")
    return value[0], value[1], value[2]


def _labels(value: Any, where: str, classes: Sequence[str], split: Split) -> tuple[str, ...]:
    names = [] if value is None and split == "test" else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{where}: label {value!r:.60}, expected a list of class names")
    for name in names:
        if name not in classes:
            raise InputError(f"{where}: unknown label {name!r:.60}; {nearest(name, classes)}")
    if not names and split != "test":
        raise InputError(f"{where}: no label; only clips of the test split may lack one")
    return tuple(name for name in classes if name in names)

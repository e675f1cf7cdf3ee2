"""Labelled clips of a data set, and the actions that they teach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from parsing.configs import nearest
from parsing.datasets.clip_lists import (
    ClipRecord,
    read_csv,
    read_folders,
    read_hmdb51,
    read_kinetics_tps,
    read_numbered,
    read_tinyvirat_clips,
    read_ucf101,
)
from parsing.datasets.tinyvirat import read_class_map
from parsing.datasets.tool_clips import read_tool_clips
from parsing.errors import InputError
from parsing.vocabulary import read_list

ClipFormat = Literal["csv", "folders", "list", "ucf101", "hmdb51", "kinetics_tps", "tinyvirat", "cvat", "label_studio"]


def read_clip_records(kind: ClipFormat, root: Path, labels: str, classes: str = "") -> list[ClipRecord]:
    """The clips of a data set, all of whose files are there.

    Args:
        kind: `csv`, a table with the columns file, label, split; `folders`, `<root>/<split>/<class>/*.mp4`, or
            `<root>/<class>/*.mp4` of which a share is held out; `list`, files `<labels>_train.txt` and `<labels>_val.txt`
            with `path number` lines as mmaction2 and Kinetics tools write them; `ucf101` and `hmdb51`, the folder of the
            sets' own split files, with the split's number: `splits:1`; `kinetics_tps`, `<root>/train/videos/<class>/*.mp4`,
            of which a share is held out where there is no `val`; `tinyvirat`, the set's own JSON files `<labels>_train…`
            and `<labels>_val…` beside its videos; `cvat` and `label_studio`, see `read_tool_clips`.
            `parsing.datasets.split` says what is held out.
        labels: the CSV, the stem of the lists, or folder and number of the splits, below `root`.
        classes: of `list`, the file of class names in the order of their numbers; of `tinyvirat`, the class map; below `root`.

    Raises:
        InputError: names the file, the line and what was expected, and how many clips are not there.
    """
    readers: dict[str, Callable[[], Iterator[ClipRecord]]] = {
        "csv": lambda: iter(read_csv(root / labels)),
        "folders": lambda: read_folders(root),
        "list": lambda: read_numbered(root, labels, read_list(root / classes)),
        "ucf101": lambda: read_ucf101(root, labels),
        "hmdb51": lambda: read_hmdb51(root, labels),
        "kinetics_tps": lambda: read_kinetics_tps(root),
        "tinyvirat": lambda: read_tinyvirat_clips(root, labels, classes),
        "cvat": lambda: read_tool_clips("cvat", root, labels),
        "label_studio": lambda: read_tool_clips("label_studio", root, labels),
    }
    records = list(readers[kind]())
    if not records:
        raise InputError(f"{root / labels}: no clip in it")
    _check_splits(records, root / labels)
    lost = [record.path for record in records if not record.path.is_file()]
    if lost:
        raise InputError(f"{root / labels}: {len(lost)} of {len(records)} clips are not there, the first {lost[0]}")
    return records


def action_names(kind: ClipFormat, root: Path, classes: str, records: Sequence[ClipRecord]) -> tuple[str, ...]:
    """The actions that a data set teaches: its own list where it has one, or those with clips in both splits, sorted."""
    if kind == "tinyvirat":
        return read_class_map(root / classes)
    return trainable_actions(records)


def trainable_actions(records: Sequence[ClipRecord]) -> tuple[str, ...]:
    """Actions that have a clip to train on and one to validate on, sorted."""
    return tuple(sorted(_labels_to_train(records) & {label for record in records if record.split == "val" for label in record.labels}))


def check_actions(records: Sequence[ClipRecord], actions: Sequence[str], where: str) -> None:
    """Raises InputError for an action that has no clip to train on; names the nearest that has."""
    known = _labels_to_train(records)
    for name in actions:
        if name not in known:
            raise InputError(f"{where}: no clip to train on of action {name!r}; {nearest(name, known)}")


def _labels_to_train(records: Sequence[ClipRecord]) -> set[str]:
    return {label for record in records if record.split == "train" and record.trainable for label in record.labels}


def _check_splits(records: Sequence[ClipRecord], where: Path) -> None:
    """Raises InputError where a clip stands in two splits, so that a network would be measured on what it has learned."""
    split_of: dict[Path, str] = {}
    for record in records:
        if split_of.setdefault(record.path, record.split) != record.split:
            raise InputError(f"{where}: {record.path} stands in {split_of[record.path]} and in {record.split}")


__all__ = ["ClipFormat", "ClipRecord", "action_names", "check_actions", "read_clip_records", "read_csv", "trainable_actions"]

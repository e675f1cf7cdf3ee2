"""Lists of labelled clips, in the forms that data sets have."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from parsing.configs import nearest
from parsing.datasets.split import held
from parsing.datasets.tinyvirat import read_class_map, read_tinyvirat
from parsing.errors import InputError
from parsing.media.suffixes import VIDEO_SUFFIXES
from parsing.vocabulary import read_list

COLUMNS = ("file", "label", "split")
ClipFormat = Literal["csv", "folders", "list", "ucf101", "hmdb51", "kinetics_tps", "tinyvirat"]


@dataclass(frozen=True)
class ClipRecord:
    """One labelled clip.

    Args:
        labels: its action; several, or none, in sets of many labels.
        scene_disjoint: whether no clip of the same scene stands in the other split.
        trainable: whether weights that are shipped may be trained on it.
    """

    path: Path
    labels: tuple[str, ...]
    split: str
    scene_disjoint: bool = True
    trainable: bool = True

    @property
    def name(self) -> str:
        """Folder and file, by which saved scores know it."""
        return f"{self.path.parent.name}/{self.path.name}"


def read_clip_records(kind: ClipFormat, root: Path, labels: str, classes: str = "") -> list[ClipRecord]:
    """The clips of a data set, all of whose files are there.

    Args:
        kind: `csv`, a table with the columns file, label, split; `folders`, `<root>/<split>/<class>/*.mp4`; `list`, files
            `<labels>_train.txt` and `<labels>_val.txt` with `path number` lines as mmaction2 and Kinetics tools write
            them; `ucf101` and `hmdb51`, the folder of the sets' own split files, with the split's number: `splits:1`;
            `kinetics_tps`, `<root>/train/videos/<class>/*.mp4`, with a tenth held out by name where there is no `val`;
            `tinyvirat`, the set's own JSON files `<labels>_train…` and `<labels>_val…` beside its videos.
        labels: the CSV, the stem of the lists, or folder and number of the splits, below `root`.
        classes: of `list`, the file of class names in the order of their numbers; of `tinyvirat`, the class map; below `root`.

    Raises:
        InputError: names the file, the line and what was expected, and how many clips are not there.
    """
    readers: dict[str, Callable[[], Iterator[ClipRecord]]] = {
        "csv": lambda: iter(read_csv(root / labels)),
        "folders": lambda: _folders(root),
        "list": lambda: _numbered(root, labels, read_list(root / classes)),
        "ucf101": lambda: _ucf101(root, *_split_of(labels)),
        "hmdb51": lambda: _hmdb51(root, *_split_of(labels)),
        "kinetics_tps": lambda: _kinetics_tps(root),
        "tinyvirat": lambda: _tinyvirat(root, labels, classes),
    }
    records = list(readers[kind]())
    if not records:
        raise InputError(f"{root / labels}: no clip in it")
    lost = [record.path for record in records if not record.path.is_file()]
    if lost:
        raise InputError(f"{root / labels}: {len(lost)} of {len(records)} clips are not there, the first {lost[0]}")
    return records


def action_names(kind: ClipFormat, root: Path, classes: str, records: Sequence[ClipRecord]) -> tuple[str, ...]:
    """The actions that a data set teaches: its own list where it has one, or those with clips in both splits, sorted."""
    if kind == "tinyvirat":
        return read_class_map(root / classes)
    return trainable_actions(records)


def read_csv(csv_path: Path) -> list[ClipRecord]:
    """The clips of a CSV with the columns file, label, split and, optionally, scene_disjoint and for_shipped_weights.

    Files are relative to the CSV. `for_shipped_weights` of `no` bars a clip from training.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    try:
        with csv_path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{csv_path}: column {missing[0]!r} is missing; expected {', '.join(COLUMNS)}")
            return [_record(csv_path, number, row) for number, row in enumerate(reader, 2)]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{csv_path}: cannot be read as CSV ({error})") from None


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


def _record(csv_path: Path, number: int, row: dict[str, str]) -> ClipRecord:
    if any(not row.get(name) for name in COLUMNS):
        raise InputError(f"{csv_path}: line {number}: expected {', '.join(COLUMNS)}, separated by commas")
    disjoint, shipped = row.get("scene_disjoint", "yes"), row.get("for_shipped_weights", "yes")
    return ClipRecord(csv_path.parent / row["file"], (row["label"],), row["split"], disjoint == "yes", shipped != "no")


def _folders(root: Path) -> Iterator[ClipRecord]:
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise InputError(f"{root}: no folder {split!r}; expected train/<class>/ and val/<class>/ with videos")
        for folder in sorted(path for path in (root / split).iterdir() if path.is_dir()):
            files = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
            if not files:
                raise InputError(f"{folder}: class without a clip ({', '.join(VIDEO_SUFFIXES)})")
            yield from (ClipRecord(path, (folder.name,), split) for path in files)


def _kinetics_tps(root: Path) -> Iterator[ClipRecord]:
    own_val = (root / "val" / "videos").is_dir()
    for split in ("train", "val") if own_val else ("train",):
        videos = root / split / "videos"
        files = sorted(path for path in videos.glob("*/*") if path.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise InputError(f"{videos}: no video <class>/<video> below this folder")
        for path in files:
            part = split if own_val or not held(path.stem, 0.1) else "val"
            yield ClipRecord(path, (path.parent.name,), part)


def _tinyvirat(root: Path, labels: str, classes: str) -> Iterator[ClipRecord]:
    for split in ("train", "val"):
        found = sorted(root.glob(f"{labels}_{split}*.json"))
        if len(found) != 1:
            raise InputError(f"{root}: {len(found)} files {labels}_{split}*.json, expected one")
        for clip in read_tinyvirat(found[0], read_class_map(root / classes), split):
            yield ClipRecord(root / "videos" / split / clip.path, clip.labels, split)


def _numbered(root: Path, stem: str, classes: Sequence[str]) -> Iterator[ClipRecord]:
    for split in ("train", "val"):
        path = root / f"{stem}_{split}.txt"
        for number, line in _lines(path):
            name, _, label = line.rpartition(" ")
            if not name or not label.isdecimal():
                raise InputError(f"{path}: line {number}: {line!r:.80}, expected a path, a space and the number of a class")
            if int(label) >= len(classes):
                raise InputError(f"{path}: line {number}: class {label}, but there are {len(classes)}, counted from 0")
            yield ClipRecord(root / name.strip(), (classes[int(label)],), split)


def _ucf101(root: Path, folder: str, number: str) -> Iterator[ClipRecord]:
    for split, file in (("train", "trainlist"), ("val", "testlist")):
        path = root / folder / f"{file}{int(number):02d}.txt"
        for line_number, line in _lines(path):
            name = line.split()[0]
            if name.count("/") != 1:
                raise InputError(f"{path}: line {line_number}: {line!r:.80}, expected <class>/<clip>")
            yield ClipRecord(root / name, (name.split("/")[0],), split)


def _hmdb51(root: Path, folder: str, number: str) -> Iterator[ClipRecord]:
    files = sorted((root / folder).glob(f"*_test_split{number}.txt"))
    if not files:
        raise InputError(f"{root / folder}: no <class>_test_split{number}.txt in this folder")
    for path in files:
        label = path.name.removesuffix(f"_test_split{number}.txt")
        for line_number, line in _lines(path):
            found = re.fullmatch(r"(.+\.avi) ([012])", line.strip())
            if not found:
                raise InputError(f"{path}: line {line_number}: {line!r:.80}, expected a clip and 0, 1 (train) or 2 (test)")
            if found[2] != "0":
                yield ClipRecord(root / label / found[1], (label,), "train" if found[2] == "1" else "val")


def _split_of(labels: str) -> tuple[str, str]:
    folder, colon, number = labels.partition(":")
    if not colon or not number.isdecimal():
        raise InputError(f"labels: {labels!r}, expected the folder of the split files, a colon and the split's number")
    return folder, number


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of clips ({error})") from None
    return ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())

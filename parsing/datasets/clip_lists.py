"""Readers of the forms that lists of labelled clips have."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from parsing.datasets.csv_tables import read_rows, read_text
from parsing.datasets.problems import named_file
from parsing.datasets.split import held, hold_out, read_val_share, source_of, split_name
from parsing.datasets.tinyvirat import read_class_map, read_tinyvirat
from parsing.errors import InputError
from parsing.media.suffixes import VIDEO_SUFFIXES

log = logging.getLogger(__name__)
COLUMNS = ("file", "label", "split")


@dataclass(frozen=True)
class ClipRecord:
    """One labelled clip.

    Args:
        labels: its action; several, or none, in sets of many labels.
        split: `train`, `val`, `test`, or a split of the set's own, which no training uses.
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
        """Folder and file name, which tells clips of a data set apart."""
        return f"{self.path.parent.name}/{self.path.name}"


def read_csv(csv_path: Path) -> list[ClipRecord]:
    r"""The clips of a CSV with the columns file, label, split and, optionally, scene_disjoint and for_shipped_weights.

    Commas, semicolons, tabs or bars separate the columns; blanks around values and a byte order mark do not count, the
    case of column names neither. Files are relative to the CSV; `\` in them counts as `/`. Splits are train, val and
    test, also as `Train`, `validation` and the like. `for_shipped_weights` of `no` bars a clip from training.

    Raises:
        InputError: the file is missing or lacks a column, or a line does not fit.
    """
    return [_row(csv_path, number, row) for number, row in read_rows(csv_path, COLUMNS)]


def read_folders(root: Path) -> Iterator[ClipRecord]:
    """`<split>/<class>/*.mp4`, or `<class>/*.mp4`, of which a share of each class's sources is held out."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    splits = {folder: split for folder in folders if (split := _split_of_folder(folder.name))}
    if not splits:
        yield from _classes_without_splits(root, folders)
        return
    for split in ("train", "val"):
        if split not in splits.values():
            raise InputError(f"{root}: no folder {split!r}; expected train/<class>/ and val/<class>/ with videos")
    for folder, split in splits.items():
        classes = sorted(path for path in folder.iterdir() if path.is_dir())
        yield from (ClipRecord(path, (label.name,), split) for label in classes for path in _videos_of_class(label))


def read_kinetics_tps(root: Path) -> Iterator[ClipRecord]:
    """`train/videos/<class>/<video>` and the same below `val`, or a share of the training videos held out by name."""
    own_val = (root / "val" / "videos").is_dir()
    share = read_val_share(root)
    for split in ("train", "val") if own_val else ("train",):
        videos = root / split / "videos"
        files = sorted(path for path in videos.glob("*/*") if path.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise InputError(f"{videos}: no video <class>/<video> below this folder")
        for path in files:
            part = split if own_val or not held(path.stem, share) else "val"
            yield ClipRecord(path, (path.parent.name,), part)


def read_tinyvirat_clips(root: Path, labels: str, classes: str) -> Iterator[ClipRecord]:
    """The set's own JSON files beside `videos/train` and `videos/val`."""
    for split in ("train", "val"):
        found = sorted(root.glob(f"{labels}_{split}*.json"))
        if len(found) != 1:
            raise InputError(f"{root}: {len(found)} files {labels}_{split}*.json, expected one")
        for clip in read_tinyvirat(found[0], read_class_map(root / classes), split):
            yield ClipRecord(root / "videos" / split / clip.path, clip.labels, split)


def read_numbered(root: Path, stem: str, classes: Sequence[str]) -> Iterator[ClipRecord]:
    """Lines of a path and the number of a class in `<stem>_train.txt` and `<stem>_val.txt`."""
    for split in ("train", "val"):
        path = root / f"{stem}_{split}.txt"
        for where, line in _lines(path):
            name, _, label = line.rpartition(" ")
            if not name or not label.isdecimal():
                raise InputError(f"{where}: {line!r:.80}, expected a path, a space and the number of a class")
            if int(label) >= len(classes):
                raise InputError(f"{where}: class {label}, but there are {len(classes)}, counted from 0")
            yield ClipRecord(_file(root, name.strip(), where), (classes[int(label)],), split)


def read_ucf101(root: Path, labels: str) -> Iterator[ClipRecord]:
    """`trainlist01.txt` and `testlist01.txt` in a folder of the set, for the split `<folder>:1`."""
    folder, number = _folder_and_number(labels)
    for split, file in (("train", "trainlist"), ("val", "testlist")):
        for where, line in _lines(root / folder / f"{file}{int(number):02d}.txt"):
            name = line.split()[0].replace("\\", "/")
            if name.count("/") != 1:
                raise InputError(f"{where}: {line!r:.80}, expected <class>/<clip>")
            yield ClipRecord(_file(root, name, where), (name.split("/")[0],), split)


def read_hmdb51(root: Path, labels: str) -> Iterator[ClipRecord]:
    """`<class>_test_split1.txt` in a folder of the set, for the split `<folder>:1`."""
    folder, number = _folder_and_number(labels)
    files = sorted((root / folder).glob(f"*_test_split{number}.txt"))
    if not files:
        raise InputError(f"{root / folder}: no <class>_test_split{number}.txt in this folder")
    for path in files:
        label = path.name.removesuffix(f"_test_split{number}.txt")
        for where, line in _lines(path):
            found = re.fullmatch(r"(.+\.avi)\s+([012])", line)
            if not found:
                raise InputError(f"{where}: {line!r:.80}, expected a clip and 0, 1 (train) or 2 (test)")
            if found[2] != "0":
                yield ClipRecord(_file(root / label, found[1], where), (label,), "train" if found[2] == "1" else "val")


def _row(csv_path: Path, number: int, values: dict[str, str]) -> ClipRecord:
    where = f"{csv_path}: line {number}"
    if any(not values[name] for name in COLUMNS):
        raise InputError(f"{where}: expected {', '.join(COLUMNS)}, separated as in the first line")
    disjoint, shipped = values.get("scene_disjoint") or "yes", values.get("for_shipped_weights") or "yes"
    path, split = _file(csv_path.parent, values["file"], where), split_name(values["split"], where)
    return ClipRecord(path, (values["label"],), split, disjoint.lower() == "yes", shipped.lower() != "no")


def _classes_without_splits(root: Path, folders: Sequence[Path]) -> Iterator[ClipRecord]:
    clips = [(folder.name, path) for folder in folders for path in _videos_of_class(folder)]
    if not clips:
        raise InputError(f"{root}: expected <class>/ with videos, or train/<class>/ and val/<class>/")
    chosen = hold_out([(label, path.stem) for label, path in clips], read_val_share(root))
    records = [ClipRecord(path, (label,), "val" if source_of(path.stem) in chosen else "train") for label, path in clips]
    validated = {record.labels[0] for record in records if record.split == "val"}
    single = sorted({label for label, _ in clips} - validated)
    if single:
        log.warning("%s: all clips of a class are cut from one video, so none is held out: %s", root, ", ".join(single))
    yield from records


def _videos_of_class(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not files:
        raise InputError(f"{folder}: class without a clip ({', '.join(VIDEO_SUFFIXES)})")
    return files


def _split_of_folder(name: str) -> str:
    """The split that a folder's name stands for; empty where it is that of a class."""
    try:
        return split if (split := split_name(name, "")) in ("train", "val", "test") else ""
    except InputError:
        return ""


def _folder_and_number(labels: str) -> tuple[str, str]:
    folder, colon, number = labels.partition(":")
    if not colon or not number.isdecimal():
        raise InputError(f"labels: {labels!r}, expected the folder of the split files, a colon and the split's number")
    return folder, number


def _file(folder: Path, name: str, where: str) -> Path:
    try:
        return named_file(folder, name)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    lines = enumerate(read_text(path).splitlines(), 1)
    return ((f"{path}: line {number}", line.strip()) for number, line in lines if line.strip())

"""Readers of annotated data sets; all of them give `parsing.datasets.records.ImageRecord`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from parsing.datasets.coco import read_coco
from parsing.datasets.cvat import read_cvat
from parsing.datasets.kinetics_tps.records import read_kinetics_tps
from parsing.datasets.label_studio import read_label_studio
from parsing.datasets.mpii import read_mpii
from parsing.datasets.parts_csv import read_parts_csv
from parsing.datasets.problems import OnError, Problems, usable
from parsing.datasets.records import ImageRecord
from parsing.datasets.yolo import read_yolo

Format = Literal["coco", "kinetics_tps", "yolo", "mpii", "cvat", "label_studio", "parts_csv"]
DataSplit = Literal["train", "val", "test"]
READERS = {
    "kinetics_tps": read_kinetics_tps,
    "mpii": read_mpii,
    "cvat": read_cvat,
    "label_studio": read_label_studio,
    "parts_csv": read_parts_csv,
}


def read_records(
    format_name: Format, annotations: Path, images: Path, problems: Problems | None = None, split: DataSplit = "train"
) -> list[ImageRecord]:
    """Read a data set.

    Args:
        format_name: `coco` (also WholeBody, Halpe, JHMDB, PoseTrack, CrowdPose, AIC, OCHuman), `kinetics_tps`, `yolo`, `mpii`, `cvat`,
            `label_studio` or `parts_csv`.
        annotations: the JSON file, the `data.yaml`, or the folder of annotations.
        images: folder that image names are relative to.
        problems: what to do with records that do not fit; None stops at the first.
        split: which of the splits that a `data.yaml` names.

    Raises:
        InputError: names the file, the record and what is wrong.
    """
    problems = problems or Problems()
    if format_name == "coco":
        return read_coco(annotations, images, (), problems)
    if format_name == "yolo":
        return read_yolo(annotations, images, problems, split)
    return READERS[format_name](annotations, images, problems)


def default_images(annotations: Path) -> Path:
    """Where images lie if nobody says so: `images` beside the annotations or beside `labels` above them, or the same folder."""
    beside = [parent.parent / "images" for parent in (annotations, *annotations.parents) if parent.name == "labels"]
    beside.append(annotations.parent / "images")
    found = next((folder for folder in beside if folder.is_dir()), None)
    return found or (annotations if annotations.is_dir() else annotations.parent)


__all__ = ["DataSplit", "Format", "OnError", "Problems", "default_images", "read_coco", "read_records", "usable"]

"""Readers of annotated data sets; all of them give `parsing.datasets.records.ImageRecord`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from parsing.datasets.coco import read_coco
from parsing.datasets.folders import read_mpii, read_yolo
from parsing.datasets.kinetics_tps.records import read_kinetics_tps
from parsing.datasets.problems import OnError, Problems
from parsing.datasets.records import ImageRecord

Format = Literal["coco", "kinetics_tps", "yolo", "mpii"]


def read_records(format_name: Format, annotations: Path, images: Path, problems: Problems | None = None) -> list[ImageRecord]:
    """Read a data set.

    Args:
        format_name: `coco` (also WholeBody, Halpe, JHMDB, PoseTrack, CrowdPose, AIC, OCHuman), `kinetics_tps`, `yolo` or `mpii`.
        annotations: the JSON file, or the folder of annotations.
        images: folder that image names are relative to.
        problems: what to do with records that do not fit; None stops at the first.

    Raises:
        InputError: names the file, the record and what is wrong.
    """
    problems = problems or Problems()
    if format_name == "coco":
        return read_coco(annotations, images, (), problems)
    reader = {"kinetics_tps": read_kinetics_tps, "yolo": read_yolo, "mpii": read_mpii}[format_name]
    return reader(annotations, images, problems)


__all__ = ["Format", "OnError", "Problems", "read_coco", "read_records"]

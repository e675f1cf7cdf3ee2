"""Annotated images that detectors are trained and measured on."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from detectors.evaluation import Target
from detectors.networks.architectures import DetectorArchitecture
from detectors.sampling import Sampling, item_weights
from detectors.views import PartViews, PersonViews
from parsing.configs import Share, config
from parsing.datasets import Format, OnError, Problems
from parsing.datasets.image_folders import Further, ImageFolder, Split, all_folders
from parsing.datasets.records import ImageRecord, ObjectRecord, true_parts
from parsing.errors import InputError

log = logging.getLogger(__name__)


@config
class DetectionDataConfig:
    """Annotated images under `root`, and under further folders.

    Args:
        more: folders whose images join those of `root`, in both splits: the names of those that are laid out like it, and
            of others their `root`, `format`, `train`, `val` and `images`.
        format, train, val, images: of `root`, see `ImageFolder`.
        on_error: whether a record that does not fit ends the training or is left out.
        sources: image sources to train on; empty takes all.
        source_weights: how often images of a source are drawn, relative to 1.
        sampling: whether items with rare classes are drawn more often.
        rotation_deg, mosaic: of the random views; `mosaic` concerns whole images alone.
        view_px: side of the training views; 0 takes the architecture's `input_px`.
        limit: train on the first images only; for trials.
    """

    root: str
    more: tuple[Further, ...] = ()
    format: Format = "coco"
    train: str = "annotations_train.json"
    val: str = "annotations_val.json"
    images: str = "images"
    on_error: OnError = "fail"
    sources: tuple[str, ...] = ()
    source_weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(default_factory=dict)
    sampling: Sampling = "uniform"
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 8.0
    mosaic: Share = 0.25
    view_px: Annotated[int, Field(ge=0, le=4096)] = 0
    limit: Annotated[int, Field(ge=1, le=10**9)] | None = None

    def read(self, split: Split) -> list[ImageRecord]:
        """The records of `train` or `val` of all folders.

        Raises:
            InputError: a record does not fit, or there is no image.
        """
        records = [record for folder in all_folders(self._first, self.more) for record in folder.read(split, Problems(self.on_error))]
        if split == "train":
            records = [record for record in records if not self.sources or record.source in self.sources][: self.limit]
        if not records:
            raise InputError(f"{self.where(split)}: no image of the {split} split that can be used")
        return records

    def splits(self, target: Target, class_names: tuple[str, ...]) -> tuple[list[ImageRecord], list[ImageRecord]]:
        """The records of both splits; a data set may know some of the parts only.

        Raises:
            InputError: there is nothing to learn or nothing to measure by.
        """
        train, val = self.read("train"), self.read("val")
        found, measured = (count_boxes(records, target, class_names) for records in (train, val))
        lacking = [name for name in class_names if not found[name]]
        there = ", ".join(f"{name} {count}" for name, count in found.most_common(20)) or "no box at all"
        line = f"{self.where('train')}: no box of class {', '.join(lacking)} in {len(train)} images to train on; found {there}"
        if lacking and (target == "persons" or len(lacking) == len(class_names)):
            raise InputError(line)
        if lacking:
            log.warning("%s", line)
        if not any(measured[name] for name in class_names):
            raise InputError(f"{self.where('val')}: no box of any class in {len(val)} images to validate on")
        return train, val

    def views(self, records: list[ImageRecord], target: Target, a: DetectorArchitecture) -> PersonViews | PartViews:
        """Random views of whole images, or of the persons in them."""
        size = self.view_px or a.input_px
        if target == "persons":
            return PersonViews(records, a.class_names, a.swap, size, self.mosaic, self.rotation_deg)
        return PartViews(records, a.class_names, a.swap, size, a.context, self.rotation_deg, bool(a.heatmaps))

    def draw_weights(self, views: PersonViews | PartViews) -> list[float] | None:
        """How often each view is drawn; None where all are alike."""
        if isinstance(views, PersonViews):
            records, classes = list(views.records), [[item.label for item in record.objects] for record in views.records]
        else:
            records = [record for record, _ in views.persons]
            classes = [known_parts(person, views.class_names) for _, person in views.persons]
        return item_weights(classes, self.sampling, [self.source_weights.get(record.source, 1.0) for record in records])

    def where(self, split: Split) -> Path:
        """The annotations of a split under `root`."""
        return self._first.annotations(split)

    @property
    def _first(self) -> ImageFolder:
        return ImageFolder(self.root, self.format, self.train, self.val, self.images)


def count_boxes(records: list[ImageRecord], target: Target, names: tuple[str, ...]) -> Counter[str]:
    """How many boxes of each class can be learned from."""
    if target == "persons":
        return Counter(item.label for record in records for item in record.objects if not item.crowd)
    persons = [person for record in records for person in record.persons if person.has_parts(names) and not person.crowd]
    return Counter(name for person in persons for name in known_parts(person, names))


def known_parts(person: ObjectRecord, names: tuple[str, ...]) -> list[str]:
    """Names of a person's parts whose box is known."""
    return [names[i] for i in np.flatnonzero(true_parts(person, names)[1])]

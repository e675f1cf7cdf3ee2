"""Folders of annotated images, as the configs of trainings name them; several of any formats make one data set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, TypeAdapter

from parsing.configs import config
from parsing.datasets import Format, Problems, read_records, usable
from parsing.datasets.records import ImageRecord
from parsing.datasets.split import held, read_val_share

log = logging.getLogger(__name__)
Split = Literal["train", "val"]


@config
class ImageFolder:
    """Annotated images below a folder.

    Args:
        train, val: annotation files, or folders of them, below `root`; empty where it has no images of that split. Of `yolo`
            also one `data.yaml` for both, and of `kinetics_tps` one folder for both, of which `parsing.datasets.split` holds a
            share of the videos out.
        images: folder of the images below `root`; a `data.yaml` says itself where they lie.
    """

    root: str
    format: Format = "coco"
    train: str = "annotations_train.json"
    val: str = "annotations_val.json"
    images: str = "images"

    def annotations(self, split: Split) -> Path:
        return Path(self.root) / self._name(split)

    def _name(self, split: Split) -> str:
        return self.train if split == "train" else self.val

    def read(self, split: Split, problems: Problems) -> list[ImageRecord]:
        """The records of a split whose image is there and whole, as `pipelines.inspect_data` counts them.

        Raises:
            InputError: a record does not fit, and `problems` stops at the first.
        """
        if not self._name(split):
            return []
        root, found = Path(self.root), len(problems.found)
        records = usable(read_records(self.format, self.annotations(split), root / self.images, problems, split), problems)
        if left_out := len(problems.found) - found:
            log.warning("%s: %d records left out", self.annotations(split), left_out)
        if self.format == "kinetics_tps" and self.train == self.val:
            share = read_val_share(root)
            records = [record for record in records if held(str(record.id).split("/")[1], share) == (split == "val")]
        return records


def _further(value: Any) -> ImageFolder | str:
    return value if isinstance(value, str) else TypeAdapter(ImageFolder).validate_python(value)


Further = Annotated[ImageFolder | str, PlainValidator(_further)]


def all_folders(first: ImageFolder, more: Sequence[ImageFolder | str]) -> list[ImageFolder]:
    """A folder and further ones; of those that are laid out like it the name is enough."""
    return [first, *(replace(first, root=one) if isinstance(one, str) else one for one in more)]

"""YOLO labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import yaml

from parsing.configs import Count, config
from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.errors import InputError
from parsing.folders import written_folder
from parsing.types import FrameParse
from pipelines.exporters import FolderExporter
from pipelines.exporters.names import file_names
from pipelines.exporters.pictures import picture_name, save_pictures
from pipelines.options import Option


@config
class YoloExporter(FolderExporter):
    """YOLO: `data.yaml`, `labels/train/VIDEO/img_00001.txt` with boxes of persons and parts, and with --videos the images.

    The format holds neither tracks nor states nor times.
    """

    videos: Annotated[Path | None, Option("the videos, whose frames become `images`", "DIR")] = None
    step: Annotated[Count, Option("every n-th frame", "N")] = 1

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        parts: tuple[str, ...] | None = None
        with written_folder(out, "export yolo") as folder:
            for parse, name in file_names(parses, "", stem=True):
                parts = parts or parse.vocabulary.parts
                if parse.vocabulary.parts != parts:
                    raise InputError(f"{parse.facts.name}: other parts than in the parses before it; export it by itself")
                labels = folder / "labels/train" / name
                labels.mkdir(parents=True)
                taken = []
                for i, frame in enumerate(parse.frames):
                    if i % self.step == 0:
                        taken.append(frame.index)
                        rows = "".join(f"{row}\n" for row in _rows(frame, (parse.facts.height, parse.facts.width)))
                        (labels / picture_name(frame.index)).with_suffix(".txt").write_text(rows, encoding="ascii")
                if self.videos is not None:
                    save_pictures(parse, taken, self.videos, folder / "images/train" / name)
            names = dict(enumerate([PERSON, *(parts or ())]))
            settings = {"path": ".", "train": "images/train", "val": "images/train", "names": names}
            (folder / "data.yaml").write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _rows(frame: FrameParse, image_hw: tuple[int, int]) -> Iterator[str]:
    """`class cx cy w h` in shares of the picture: 0 persons, parts from 1 on."""
    height, width = image_hw
    for row, box in enumerate(frame.persons.xyxy.tolist()):
        seen = [(0, box), *((p + 1, frame.parts.xyxy[row, p].tolist()) for p in frame.parts.visible[row].nonzero()[0].tolist())]
        for number, (x1, y1, x2, y2) in seen:
            shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            yield " ".join([str(number), *(f"{share:.6f}" for share in shares)])

"""COCO results of persons and parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar

from parsing.configs import config
from parsing.datasets import Format, Problems, default_images, read_records
from parsing.document import VideoParse
from pipelines.options import Option


@config
class CocoExporter:
    """COCO results (1 person, parts from 2 on) of annotated images, which `evaluate detections` and pycocotools read."""

    every: ClassVar[int | None] = None
    reads_parses: ClassVar[bool] = True

    truth: Annotated[Path, Option("annotations that name the images", "FILE")]
    format: Annotated[Format, Option("of the annotations")] = "coco"
    images: Annotated[Path | None, Option("without, `images` beside the annotations", "DIR")] = None

    def inputs(self) -> list[Path]:
        return []

    def write(self, parses: Iterable[VideoParse], out: Path) -> None:
        from pipelines.benchmarks.detections.submission import write_results

        write_results(parses, read_records(self.format, self.truth, self.images or default_images(self.truth), Problems("fail")), out)

"""Formats that parses are written in: a closed table, one file each.

A new one is a file with a config whose fields are its options, and a line in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Protocol

from parsing.document import AnyParse

EXPORTERS = {
    "table": "pipelines.exporters.table:TableExporter",
    "coco": "pipelines.exporters.coco:CocoExporter",
    "ytvis": "pipelines.exporters.ytvis:YtvisExporter",
    "mot": "pipelines.exporters.mot:MotExporter",
    "ava": "pipelines.exporters.ava:AvaExporter",
    "cvat": "pipelines.exporters.cvat:CvatExporter",
    "label_studio": "pipelines.exporters.label_studio:LabelStudioExporter",
    "yolo": "pipelines.exporters.yolo:YoloExporter",
    "webvtt": "pipelines.exporters.webvtt:WebVttExporter",
    "srt": "pipelines.exporters.srt:SrtExporter",
    "fiftyone": "pipelines.exporters.fiftyone:FiftyOneExporter",
    "rerun": "pipelines.exporters.rerun:RerunExporter",
    "activitynet": "pipelines.exporters.activitynet:ActivityNetExporter",
    "kinetics-tps": "pipelines.exporters.kinetics_tps:KineticsTpsExporter",
    "tinyvirat": "pipelines.exporters.tinyvirat:TinyViratExporter",
}


class Exporter(Protocol):
    """A typed config with the options of a format, each with its `Option`.

    `every` says how far the frames lie apart that it needs of videos that are parsed on the way; None leaves it to the
    pipeline. `reads_parses` is False where its options name another source. `folder` tells an exporter that writes a folder
    (`parsing.folders.written_folder`) from one that writes a file.
    """

    @property
    def every(self) -> int | None: ...

    @property
    def reads_parses(self) -> bool: ...

    @property
    def folder(self) -> bool: ...

    def inputs(self) -> list[Path]:
        """Files that it reads, beside parses and what its options name."""

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        """Write one file or folder, whole or not at all, in memory that does not grow with the number of parses.

        Raises:
            InputError: a parse, or the name of the file, does not fit the format.
        """


class FolderExporter:
    """What exporters share that write a folder of parses, whatever frames these hold, and read no other file."""

    every: ClassVar[int | None] = None
    reads_parses: ClassVar[bool] = True
    folder: ClassVar[bool] = True

    def inputs(self) -> list[Path]:
        return []

"""Formats that parses are written in: a closed table, one file each.

A new one is a file with a config whose fields are its options, and a line in `EXPORTERS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from parsing.document import VideoParse

EXPORTERS = {
    "coco": "pipelines.exporters.coco:CocoExporter",
    "kinetics-tps": "pipelines.exporters.kinetics_tps:KineticsTpsExporter",
    "tinyvirat": "pipelines.exporters.tinyvirat:TinyViratExporter",
}


class Exporter(Protocol):
    """A typed config with the options of a format, each with its `Option`.

    `every` says how far the frames lie apart that it needs of videos that are parsed on the way; None leaves it to the
    pipeline. `reads_parses` is False where its options name another source.
    """

    @property
    def every(self) -> int | None: ...

    @property
    def reads_parses(self) -> bool: ...

    def inputs(self) -> list[Path]:
        """Files that it reads, beside parses and what its options name."""

    def write(self, parses: Iterable[VideoParse], out: Path) -> None:
        """Write one file, whole or not at all, in memory that does not grow with the number of parses.

        Raises:
            InputError: a parse, or the name of the file, does not fit the format.
        """

"""The challenges and benchmarks: each has its submission, its score and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

REPORTS = {
    "detections": "pipelines.benchmarks.detections.report:DetectionsReport",
    "kinetics-tps": "pipelines.benchmarks.kinetics_tps.report:KineticsTpsReport",
    "tracks": "pipelines.benchmarks.tracks.report:TracksReport",
    "tinyvirat": "pipelines.benchmarks.tinyvirat.report:TinyViratReport",
}


class Report(Protocol):
    """A typed config whose fields are the options of `pipelines.evaluate NAME`, each with its `Option`."""

    def outputs(self, out: Path) -> list[Path]:
        """All files that `write` writes."""

    def inputs(self) -> list[Path]:
        """Files that it reads, beside those that its options name."""

    def write(self, out: Path) -> dict[str, Any]:
        """Write the report to a folder, or to a name that ends in `.json`; gives the figures to print.

        Raises:
            InputError: what the options name does not fit.
        """

"""`pipelines.evaluate tracks`: HOTA, IDF1 and MOTA of each video and of all, by the evaluation of the `trackers` package."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from parsing.configs import config
from parsing.errors import InputError
from parsing.measures.report import report_files, write_report
from pipelines.options import Option

logging.getLogger("trackers.eval").setLevel(logging.WARNING)  # it tells how many videos there are
# Measures in [0, 1] and counts, by the families of the package: Luiten et al., IJCV 2021; Ristani et al., 2016; Bernardin
# and Stiefelhagen, 2008.
FIGURES = {
    "HOTA": ("HOTA", "DetA", "AssA", "LocA"),
    "Identity": ("IDF1", "IDP", "IDR"),
    "CLEAR": ("MOTA", "MOTP", "IDSW", "Frag", "MT", "ML", "CLR_FP", "CLR_FN"),
}


@config
class TracksReport:
    """Tracks of parses against annotated tracks: HOTA, IDF1, MOTA and what they are made of, by video and of all."""

    found: Annotated[Path, Option("parse.json, or folder of parses", positional=True)]
    truth: Annotated[Path, Option("parse.json or MOTChallenge text file, or folder of either", "PATH")]

    def outputs(self, out: Path) -> list[Path]:
        return report_files(out)

    def inputs(self) -> list[Path]:
        return [path for root in (self.found, self.truth) for path in root.rglob("*") if path.is_file()]

    def write(self, out: Path) -> dict[str, Any]:
        figures = compare_tracks(self.found, self.truth)
        write_report(figures, out)
        return figures


def compare_tracks(found: Path, truth: Path) -> dict[str, Any]:
    """Figures of `videos`, each by its name, and of `all` together.

    Videos go by their names without suffix; a single one is compared with a single other whatever their names. Persons
    without a track do not count. Of annotated parses only the frames that they hold count; of text files, which do not
    name frames without anybody, all.

    Raises:
        InputError: an annotated video has no parse, or a file cannot be read.
    """
    from trackers.eval import evaluate_mot_sequences

    from pipelines.benchmarks.tracks.mot import parses_at, rows_of, truth_at, write_mot

    true, frames = truth_at(truth)
    parses = parses_at(found)
    if len(true) == len(parses) == 1:
        parses = dict(zip(true, parses.values(), strict=True))
    missing = sorted(true.keys() - parses.keys())
    if missing:
        raise InputError(f"{found}: no parse of {len(missing)} annotated videos, first {missing[0]!r:.80}")
    with tempfile.TemporaryDirectory() as place:
        folders = Path(place, "truth"), Path(place, "found")
        for folder in folders:
            folder.mkdir()
        numbers = {name: f"{i:06d}" for i, name in enumerate(true)}  # names of videos may hold anything
        for name, number in numbers.items():
            rows = rows_of(parses[name])
            if name in frames:
                rows = rows[np.isin(rows[:, 0], frames[name])]
            write_mot(true[name], folders[0] / f"{number}.txt")
            write_mot(rows, folders[1] / f"{number}.txt")
        result = evaluate_mot_sequences(*folders, metrics=list(FIGURES))
    return {"all": _figures(result.aggregate), "videos": {name: _figures(result.sequences[number]) for name, number in numbers.items()}}


def _figures(result: Any) -> dict[str, float]:
    """The package's own figures, rounded to four digits."""
    return {name: round(getattr(getattr(result, family), name), 4) for family, names in FIGURES.items() for name in names}

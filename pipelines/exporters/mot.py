"""MOTChallenge."""

from __future__ import annotations

import configparser
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from parsing.configs import config
from parsing.document import AnyParse
from parsing.folders import written_folder
from parsing.types import Array, FrameParse
from pipelines.exporters import FolderExporter
from pipelines.exporters.names import file_names


@config
class MotExporter(FolderExporter):
    """MOTChallenge: for each video `results/VIDEO.txt`, its tracks with scores, and `sequences/VIDEO` with `seqinfo.ini`,
    `gt/gt.txt` (the tracks as truth to correct) and `det/det.txt` (every person, those without a track too)."""

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        with written_folder(out, "export mot") as folder:
            (folder / "results").mkdir()
            for parse, name in file_names(parses, "", stem=True):
                sequence = folder / "sequences" / name
                (sequence / "gt").mkdir(parents=True)
                (sequence / "det").mkdir()
                _write_info(parse, name, sequence / "seqinfo.ini")
                with (
                    (folder / f"results/{name}.txt").open("w", encoding="ascii") as results,
                    (sequence / "gt/gt.txt").open("w", encoding="ascii") as truth,
                    (sequence / "det/det.txt").open("w", encoding="ascii") as found,
                ):
                    for frame in parse.frames:
                        ids = np.full(len(frame.persons), -1) if frame.persons.track_ids is None else frame.persons.track_ids
                        rows = _rows(frame)
                        found.writelines(f"{where},-1,{box},{score:.4g},-1,-1,-1\n" for where, box, score in rows)
                        for (where, box, score), track in zip(rows, ids.tolist(), strict=True):
                            if track >= 0:
                                results.write(f"{where},{track},{box},{score:.4g},-1,-1,-1\n")
                                truth.write(f"{where},{track},{box},1,1,1\n")


def _rows(frame: FrameParse) -> list[tuple[int, str, float]]:
    """Number of the frame, from 1, left, top, width and height, and score of each person."""
    sides: Array = np.concatenate([frame.persons.xyxy[:, :2], frame.persons.xyxy[:, 2:] - frame.persons.xyxy[:, :2]], 1)
    boxes = [",".join(f"{side:.2f}" for side in box) for box in sides.tolist()]
    return [(frame.index + 1, box, score) for box, score in zip(boxes, frame.persons.scores.tolist(), strict=True)]


def _write_info(parse: AnyParse, name: str, path: Path) -> None:
    info = configparser.ConfigParser(interpolation=None)
    info.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their capitals
    facts = parse.facts
    info["Sequence"] = {
        "name": name, "imDir": "img1", "frameRate": f"{facts.fps:g}", "seqLength": str(facts.frames_decoded),
        "imWidth": str(facts.width), "imHeight": str(facts.height), "imExt": ".jpg",
    }  # fmt: skip
    with path.open("w", encoding="utf-8") as file:
        info.write(file, space_around_delimiters=False)

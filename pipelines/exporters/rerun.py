"""Recordings for the viewer of rerun."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from parsing.configs import config
from parsing.document import AnyParse
from parsing.extras import import_extra
from parsing.folders import written_folder
from parsing.intervals import HOLDS_FROM
from parsing.types import FrameParse
from pipelines.exporters import FolderExporter
from pipelines.exporters.names import file_names


@config
class RerunExporter(FolderExporter):
    """rerun: `VIDEO.rrd` each, on the timelines `frame` and `time`: boxes of persons and parts, labelled with tracks and
    states, and the scores of every state of every track. Needs the extra `rerun`."""

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        rerun = import_extra("rerun", "rerun")
        with written_folder(out, "export rerun") as folder:
            for parse, name in file_names(parses, ".rrd", stem=True):
                recording = rerun.RecordingStream("partwise", recording_id=name)
                recording.save(folder / name)
                for frame in parse.frames:
                    recording.set_time("frame", sequence=frame.index)
                    recording.set_time("time", duration=frame.time_s)
                    _log(rerun, recording, frame, parse)
                recording.flush()
                recording.disconnect()


def _log(rerun: Any, recording: Any, frame: FrameParse, parse: AnyParse) -> None:
    words, ids = parse.vocabulary, frame.persons.track_ids
    tracks = [-1] * len(frame.persons) if ids is None else ids.tolist()
    names = [f"person {track}" if track >= 0 else "person" for track in tracks]
    recording.log("video/persons", _boxes(rerun, frame.persons.xyxy, names))
    seen = np.argwhere(frame.parts.visible).tolist()
    labels = []
    for row, part in seen:
        held = [words.states[s] for s in np.flatnonzero(frame.states.scores[row, part] >= HOLDS_FROM).tolist()]
        labels.append(" ".join([words.parts[part], *held]))
    recording.log("video/parts", _boxes(rerun, frame.parts.xyxy[frame.parts.visible], labels))
    allowed = words.allowed
    for row, part in seen:
        for state in np.flatnonzero(allowed[part]).tolist() if tracks[row] >= 0 else ():
            path = ["tracks", str(tracks[row]), words.parts[part], words.states[state]]
            recording.log(path, rerun.Scalars(float(frame.states.scores[row, part, state])))


def _boxes(rerun: Any, xyxy: Any, labels: list[str]) -> Any:
    return rerun.Boxes2D(array=xyxy.reshape(-1, 4), array_format=rerun.Box2DFormat.XYXY, labels=labels)

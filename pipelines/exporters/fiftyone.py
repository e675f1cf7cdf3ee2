"""FiftyOne's data sets of labelled videos."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from parsing.configs import config
from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.folders import written_folder
from parsing.intervals import HOLDS_FROM
from parsing.types import ActionScore, FrameParse
from pipelines.exporters import FolderExporter
from pipelines.exporters.box_tracks import actions_at
from pipelines.exporters.names import file_names
from pipelines.exporters.pictures import video_of
from pipelines.options import Option

Entry = dict[str, Any]


@config
class FiftyOneExporter(FolderExporter):
    """FiftyOne: a `FiftyOneVideoLabelsDataset`, which is `manifest.json`, `labels/VIDEO.json`, and with --videos `data/VIDEO`.

    Fields of frames are `persons` and `parts`, detections whose `index` is the track, and `time_s`. A part has an attribute
    `state_NAME` with the score of each of its states, and `states` with those that hold; a person has `actions`. Fields of a
    video are `actions` and `track_actions`, temporal detections.
    """

    videos: Annotated[Path | None, Option("the videos, to which the data set gets links", "DIR")] = None
    threshold: Annotated[float, Option("score from which a state holds", "SCORE")] = HOLDS_FROM

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        index = []
        with written_folder(out, "export fiftyone") as folder:
            for name in ("data", "labels"):
                (folder / name).mkdir()
            for parse, name in file_names(parses, ""):
                index.append({"data": f"data/{name}", "labels": f"labels/{name}.json"})
                self._write_labels(parse, name, folder / index[-1]["labels"])
                if self.videos is not None:
                    _link(video_of(parse, self.videos), folder / index[-1]["data"])
            manifest = {"type": "eta.core.datasets.LabeledVideoDataset", "description": "parses of partwise", "index": index}
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")

    def _write_labels(self, parse: AnyParse, name: str, path: Path) -> None:
        """Frame by frame, then the actions, as only then it is known which frames they last for."""
        numbers: list[int] = []
        times_s: list[float] = []
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{{"filename": {json.dumps(name)}, "frames": {{')
            for frame in parse.frames:
                labels = {
                    "frame_number": frame.index + 1,
                    "attrs": _attributes({"time_s": round(frame.time_s, 6)}),
                    "objects": {"objects": [*self._objects(parse, frame)]},
                }
                file.write((",\n" if numbers else "\n") + f'"{frame.index + 1}": ' + json.dumps(labels))
                numbers.append(frame.index + 1)
                times_s.append(frame.time_s)
            file.write('\n}, "events": ' + json.dumps({"events": [*_events(parse, numbers, times_s)]}) + "}\n")

    def _objects(self, parse: AnyParse, frame: FrameParse) -> Iterator[Entry]:
        words, facts = parse.vocabulary, parse.facts
        size = (facts.width, facts.height)
        ids = np.full(len(frame.persons), -1) if frame.persons.track_ids is None else frame.persons.track_ids
        for row, track in enumerate(ids.tolist()):
            followed = {"index": track} if track >= 0 else {}
            actions = actions_at(parse.track_actions.get(track, ()), frame.time_s)
            attributes = {"actions": ", ".join(actions)} if actions else {}
            yield _object(PERSON, "persons", frame.persons.xyxy[row].tolist(), size, frame.persons.scores[row], attributes) | followed
            for p in np.flatnonzero(frame.parts.visible[row]).tolist():
                scores = {s: float(frame.states.scores[row, p, s]) for s in np.flatnonzero(words.allowed[p]).tolist()}
                held = [words.states[s] for s, score in scores.items() if score >= self.threshold]
                attributes = {"states": ", ".join(held)} if held else {}
                states = {field_name(f"state_{words.states[s]}"): round(score, 4) for s, score in scores.items()}
                box = frame.parts.xyxy[row, p].tolist()
                yield _object(words.parts[p], "parts", box, size, frame.parts.scores[row, p], attributes | states) | followed


def field_name(text: str) -> str:
    """The name of a field of FiftyOne, whose database takes neither a dot nor a dollar in one."""
    return re.sub(r"[.$\0]", "_", text)


def _object(label: str, field: str, box: Sequence[float], size: tuple[int, int], score: float, attributes: Entry) -> Entry:
    x1, y1, x2, y2 = (round(side / of, 6) for side, of in zip(box, size * 2, strict=True))
    return {
        "type": "eta.core.objects.DetectedObject", "label": label, "name": field, "confidence": round(float(score), 4),
        "bounding_box": {"top_left": {"x": x1, "y": y1}, "bottom_right": {"x": x2, "y": y2}}, "attrs": _attributes(attributes),
    }  # fmt: skip


def _attributes(values: Entry) -> Entry:
    kinds = {str: "Categorical", float: "Numeric", int: "Numeric"}
    return {"attrs": [{"type": f"eta.core.data.{kinds[type(value)]}Attribute", "name": n, "value": value} for n, value in values.items()]}


def _events(parse: AnyParse, numbers: Sequence[int], times_s: Sequence[float]) -> Iterator[Entry]:
    """Actions of the video, then of its tracks, in frames; those between two frames take the one before."""
    for track, actions in [(None, parse.actions), *sorted(parse.track_actions.items())]:
        for action in actions if numbers else ():
            yield _event(action, track, numbers, times_s)


def _event(action: ActionScore, track: int | None, numbers: Sequence[int], times_s: Sequence[float]) -> Entry:
    last = max(0, int(np.searchsorted(times_s, action.end_s, "right")) - 1)
    first = min(last, int(np.searchsorted(times_s, action.start_s)))
    own: Entry = {} if track is None else {"track": track}
    return {
        "type": "eta.core.events.VideoEvent", "label": action.label, "name": "actions" if track is None else "track_actions",
        "confidence": action.score, "support": {"ranges": f"{numbers[first]}-{numbers[last]}"},
        "attrs": _attributes({"start_s": action.start_s, "end_s": action.end_s} | own),
    }  # fmt: skip


def _link(video: Path, path: Path) -> None:
    """A symbolic link: unlike a hard one it is no file of the data set's own, so whoever replaces it leaves the video as it is."""
    try:
        path.symlink_to(video.resolve())
    except OSError:  # a file system without links
        shutil.copyfile(video, path)

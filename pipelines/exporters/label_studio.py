"""Label Studio's tasks of videos."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from xml.sax.saxutils import quoteattr

from parsing.configs import config
from parsing.datasets.records import CROWD, PERSON
from parsing.datasets.tool_clips import ACTION
from parsing.document import AnyParse
from parsing.folders import written_folder
from parsing.intervals import HOLDS_FROM
from parsing.vocabulary import Vocabulary
from pipelines.exporters import FolderExporter
from pipelines.exporters.box_tracks import BoxTrack, box_tracks
from pipelines.exporters.names import file_names
from pipelines.options import Option

Result = dict[str, Any]
As = Literal["predictions", "annotations"]


@config
class LabelStudioExporter(FolderExporter):
    """Label Studio: `tasks.json` with sequences of rectangles, and `labels.xml`, the labelling interface of the project.

    A part is one region for as long as its states stay the same, since choices belong to a whole region; its person is above
    it in the tree of regions.
    """

    result: Annotated[As, Option("to be confirmed by people, or to count as they are")] = "predictions"
    link: Annotated[str, Option("what the name of a video is put behind to make its address", "PREFIX")] = "/data/local-files/?d="
    tolerance_px: Annotated[float, Option("how far a side may lie from the box between key frames", "PX")] = 0.5
    threshold: Annotated[float, Option("score from which a state holds", "SCORE")] = HOLDS_FROM

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        words = words_of_persons()
        actions: dict[str, None] = {}
        with written_folder(out, "export label_studio") as folder, (folder / "tasks.json").open("w", encoding="utf-8") as file:
            first = True
            fps = 24.0
            for number, (parse, name) in enumerate(file_names(parses, ""), 1):
                add_words(words, parse.vocabulary)
                actions |= dict.fromkeys(parse.vocabulary.actions)
                fps = parse.facts.fps or fps
                file.write(("[\n" if first else ",\n") + json.dumps(self._task(number, parse, name)))
                first = False
            file.write("[]\n" if first else "\n]\n")
            (folder / "labels.xml").write_text(interface(words, "Video", fps, list(actions)), encoding="utf-8")

    def _task(self, number: int, parse: AnyParse, name: str) -> dict[str, Any]:
        tracks = box_tracks(parse, self.threshold)
        results = [result for track in tracks for result in _results(track, parse, self.tolerance_px)]
        results += _actions(parse)
        version = {"model_version": f"partwise {parse.vocabulary.name}"} if self.result == "predictions" else {}
        return {"id": number, "data": {"video": self.link + percent_encoded(name)}, self.result: [{"result": results} | version]}


def percent_encoded(name: str) -> str:
    """The name of a file in a URL: all but letters, digits and -._~ of ASCII by their bytes."""
    return re.sub(rb"[^A-Za-z0-9._~/-]", lambda found: b"%%%02X" % ord(found[0]), name.encode()).decode()


def words_of_persons() -> dict[str, dict[str, None]]:
    """The labels of an interface and the choices of each, before those of parts are added."""
    return {PERSON: {CROWD: None}}


def add_words(words: dict[str, dict[str, None]], vocabulary: Vocabulary) -> None:
    """Add the parts of a vocabulary and their states to those of an interface."""
    for part, states in zip(vocabulary.parts, vocabulary.part_states, strict=True):
        words.setdefault(part, {}).update(dict.fromkeys(states))


def interface(words: dict[str, dict[str, None]], kind: Literal["Video", "Image"], fps: float = 24.0, actions: Sequence[str] = ()) -> str:
    """The labelling interface of a project: labels, the states of each part as choices of its regions, and the actions of a video."""
    of_video, media = kind == "Video", kind.lower()
    labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in words)
    lines = [f'<Video name="{media}" value="${media}" frameRate="{fps:g}"/>'] if of_video else [f'<Image name="{media}" value="${media}"/>']
    if of_video:
        lines += [f'<VideoRectangle name="box" toName="{media}"/>', f'<Labels name="label" toName="{media}">{labels}\n  </Labels>']
    else:
        lines += [f'<RectangleLabels name="box" toName="{media}">{labels}\n  </RectangleLabels>']
    for part, states in words.items():
        if states:
            choices = "".join(f"\n    <Choice value={quoteattr(state)}/>" for state in states)
            where = f'whenTagName="{"label" if of_video else "box"}" whenLabelValue={quoteattr(part)}'
            name = quoteattr(choices_name(part))
            head = f'<Choices name={name} toName="{media}" perRegion="true" choice="multiple" visibleWhen="region-selected" {where}>'
            lines.append(f"{head}{choices}\n  </Choices>")
    if actions:
        listed = "".join(f"\n    <Choice value={quoteattr(action)}/>" for action in actions)
        lines.append(f'<Choices name="{ACTION}" toName="{media}" choice="multiple">{listed}\n  </Choices>')
    return "<View>\n" + "".join(f"  {line}\n" for line in lines) + "</View>\n"


def choices_name(part: str) -> str:
    """What the choices of a part are called in the interface."""
    return f"states of {part}"


def _results(track: BoxTrack, parse: AnyParse, tolerance_px: float) -> Iterator[Result]:
    """The regions of a track: one of a person, one of a part for each stretch of time in which its states stay the same."""
    person = f"t{track.group}"
    if track.label == PERSON:
        yield _region(person, track, list(track.runs()), parse, tolerance_px)
        return
    stretches = [stretch for run in track.runs() for stretch in _same_states(track, run)]
    for number, stretch in enumerate(stretches):
        key = f"{person}-{track.label}-{number}"
        yield _region(key, track, [stretch], parse, tolerance_px) | {"parentID": person}
        states = parse.vocabulary.part_states[parse.vocabulary.parts.index(track.label)]
        if not states:
            continue
        yield {
            "id": key, "type": "choices", "from_name": choices_name(track.label), "to_name": "video", "origin": "prediction",
            "value": {"choices": list(track.holds[stretch[0]])},
        }  # fmt: skip


def _actions(parse: AnyParse) -> list[Result]:
    """The actions that hold in a video at any time."""
    found = list(dict.fromkeys(action.label for action in parse.actions))
    choices = {"id": "actions", "type": "choices", "from_name": ACTION, "to_name": "video", "origin": "prediction"}
    return [choices | {"value": {"choices": found}}] if found else []


def _same_states(track: BoxTrack, run: range) -> Iterator[range]:
    changes = [i for i in run[1:] if track.holds[i] != track.holds[i - 1]]
    yield from (range(start, end) for start, end in pairwise([run.start, *changes, run.stop]))


def _region(key: str, track: BoxTrack, runs: list[range], parse: AnyParse, tolerance_px: float) -> Result:
    facts = parse.facts
    sequence = []
    for run in runs:
        for i in track.keys(run, tolerance_px):
            x1, y1, x2, y2 = track.boxes[i].tolist()
            percent = {"x": x1 / facts.width, "y": y1 / facts.height, "width": (x2 - x1) / facts.width, "height": (y2 - y1) / facts.height}
            place = {"frame": track.frames[i] + 1, "time": round(track.times_s[i], 6), "rotation": 0, "enabled": i != run[-1]}
            sequence.append(place | {name: round(100 * share, 5) for name, share in percent.items()})
    value = {"labels": [track.label], "sequence": sequence, "framesCount": facts.frames_decoded, "duration": round(facts.duration_s, 6)}
    meta = {} if track.track_id is None or track.label != PERSON else {"meta": {"text": [f"track {track.track_id}"]}}
    return {"id": key, "type": "videorectangle", "from_name": "box", "to_name": "video", "origin": "prediction", "value": value} | meta

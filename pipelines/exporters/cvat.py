"""CVAT for video 1.1."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Annotated, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

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

log = logging.getLogger(__name__)
Label = dict[str, Any]
UNDEFINED = "__undefined__"  # as CVAT says that nothing is chosen
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML cannot hold


@config
class CvatExporter(FolderExporter):
    """CVAT for video 1.1: `VIDEO.xml` each, and `labels.json` for the constructor of a task or project.

    Tracks of persons and of parts as labels of their own, with key frames where boxes and states do not follow from those
    around; a person and its parts are a group. States are checkboxes, the action of a person is a selection.
    """

    tolerance_px: Annotated[float, Option("how far a side may lie from the box between key frames", "PX")] = 0.5
    threshold: Annotated[float, Option("score from which a state holds", "SCORE")] = HOLDS_FROM

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        labels: dict[str, Label] = {}
        with written_folder(out, "export cvat") as folder:
            for parse, name in file_names(parses, ".xml"):
                own = cvat_labels(parse.vocabulary)
                labels |= {label["name"]: joined(label, labels.get(label["name"])) for label in own}
                tracks = box_tracks(parse, self.threshold)
                _warn_of_lost_actions(parse, tracks)
                with (folder / name).open("w", encoding="utf-8") as file:
                    write_cvat(file, parse, own, tracks, self.tolerance_px)
            (folder / "labels.json").write_text(json.dumps(list(labels.values()), indent=1) + "\n", encoding="utf-8")


def cvat_labels(vocabulary: Vocabulary) -> list[Label]:
    """The labels of a task as CVAT's constructor takes them: `person`, and every part with its states."""
    person = [_attribute("track_id", "number", ["0", "1000000", "1"], mutable=False), _attribute(CROWD, "checkbox", ["false"])]
    if vocabulary.actions:
        person.append(_attribute(ACTION, "select", [UNDEFINED, *vocabulary.actions]))
    parts = zip(vocabulary.parts, vocabulary.part_states, strict=True)
    return [
        {"name": PERSON, "type": "rectangle", "attributes": person},
        *({"name": part, "type": "rectangle", "attributes": [_attribute(s, "checkbox", ["false"]) for s in own]} for part, own in parts),
    ]


def _attribute(name: str, kind: str, values: Sequence[str], mutable: bool = True) -> Label:
    return {"name": name, "mutable": mutable, "input_type": kind, "default_value": values[0], "values": list(values)}


def joined(label: Label, before: Label | None) -> Label:
    """A label with the attributes that it has in either of two vocabularies."""
    attributes = {one["name"]: one for one in (before or label)["attributes"]} | {one["name"]: one for one in label["attributes"]}
    return label | {"attributes": list(attributes.values())}


def write_cvat(file: IO[str], parse: AnyParse, labels: Sequence[Label], tracks: Iterable[BoxTrack], tolerance_px: float) -> None:
    """The XML of one video, a track at a time."""
    states = {label["name"]: [one["name"] for one in label["attributes"] if one["input_type"] == "checkbox"] for label in labels}
    has_actions = bool(parse.vocabulary.actions)
    file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n' + _meta(parse, labels))
    for number, track in enumerate(tracks):
        element = Element("track", {"id": str(number), "label": valid(track.label), "source": "auto", "group_id": str(track.group)})
        for places in track.runs():
            for i in track.keys(places, tolerance_px):
                element.append(_box(track, i, track.frames[i], False, states[track.label], has_actions))
            after = track.frames[places[-1]] + 1
            if after < parse.facts.frames_decoded:
                element.append(_box(track, places[-1], after, True, states[track.label], has_actions))
        file.write(_as_text(element))
    file.write("</annotations>\n")


def _meta(parse: AnyParse, labels: Sequence[Label]) -> str:
    facts = parse.facts
    meta = Element("meta")
    task = SubElement(meta, "task")
    settings = {
        "name": facts.name, "size": facts.frames_decoded, "mode": "interpolation", "overlap": 0, "bugtracker": "", "flipped": False,
        "start_frame": 0, "stop_frame": max(0, facts.frames_decoded - 1), "frame_filter": "",
    }  # fmt: skip
    for name, value in settings.items():
        _text(task, name, value)
    task.append(labels_element(labels))
    size = SubElement(task, "original_size")
    _text(size, "width", facts.width)
    _text(size, "height", facts.height)
    _text(task, "source", facts.name)
    return _as_text(meta)


def labels_element(labels: Sequence[Label]) -> Element:
    """The `<labels>` of a task."""
    found = Element("labels")
    for label in labels:
        one = SubElement(found, "label")
        _text(one, "name", label["name"])
        _text(one, "type", label["type"])
        attributes = SubElement(one, "attributes")
        for attribute in label["attributes"]:
            own = SubElement(attributes, "attribute")
            for name, value in attribute.items():
                _text(own, name, "\n".join(value) if isinstance(value, list) else value)
    return found


def _box(track: BoxTrack, i: int, frame: int, outside: bool, states: Sequence[str], has_actions: bool) -> Element:
    sides = {name: f"{side:.2f}" for name, side in zip(("xtl", "ytl", "xbr", "ybr"), track.boxes[i].tolist(), strict=True)}
    box = Element("box", {"frame": str(frame), "outside": str(int(outside)), "occluded": "0", "keyframe": "1", **sides, "z_order": "0"})
    if track.label == PERSON:
        add_person(box, track.track_id, track.holds[i], has_actions)
    add_states(box, track.holds[i], states)
    return box


def add_person(box: Element, track_id: int | None, actions: Sequence[str], has_actions: bool) -> None:
    """The attributes of a person's box."""
    if track_id is not None:
        SubElement(box, "attribute", {"name": "track_id"}).text = str(track_id)
    if has_actions:
        SubElement(box, "attribute", {"name": ACTION}).text = valid(actions[0]) if actions else UNDEFINED


def add_states(box: Element, held: Sequence[str], states: Sequence[str]) -> None:
    """The attributes of a part's box."""
    for state in states:
        SubElement(box, "attribute", {"name": valid(state)}).text = "true" if state in held else "false"


def valid(text: str) -> str:
    """Text that XML can hold."""
    return _NO_XML.sub("\ufffd", text)


def _text(parent: Element, name: str, value: Any) -> None:
    SubElement(parent, name).text = valid(str(value))


def _as_text(element: Element) -> str:
    indent(element)
    return tostring(element, encoding="unicode") + "\n"


def _warn_of_lost_actions(parse: AnyParse, tracks: Iterable[BoxTrack]) -> None:
    lost = sum(len(holds) > 1 for track in tracks if track.label == PERSON for holds in track.holds)
    if lost:
        log.warning("%s: in %d boxes a person has several actions, of which the best is written", parse.facts.name, lost)

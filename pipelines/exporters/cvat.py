"""CVAT for video 1.1."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar
from xml.sax.saxutils import XMLGenerator

from parsing.configs import config
from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.folders import written_folder
from parsing.intervals import HOLDS_FROM
from parsing.vocabulary import Vocabulary
from pipelines.exporters.box_tracks import BoxTrack, box_tracks
from pipelines.exporters.names import file_names
from pipelines.options import Option

log = logging.getLogger(__name__)
Label = dict[str, Any]
UNDEFINED = "__undefined__"  # as CVAT says that nothing is chosen
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML cannot hold


@config
class CvatExporter:
    """CVAT for video 1.1: `VIDEO.xml` each, and `labels.json` for the constructor of a task or project.

    Tracks of persons and of parts as labels of their own, with key frames where boxes and states do not follow from those
    around; a person and its parts are a group. States are checkboxes, the action of a person is a selection.
    """

    every: ClassVar[int | None] = None
    reads_parses: ClassVar[bool] = True
    folder: ClassVar[bool] = True

    tolerance_px: Annotated[float, Option("how far a side may lie from the box between key frames", "PX")] = 0.5
    threshold: Annotated[float, Option("score from which a state holds", "SCORE")] = HOLDS_FROM

    def inputs(self) -> list[Path]:
        return []

    def write(self, parses: Iterable[AnyParse], out: Path) -> None:
        labels: dict[str, Label] = {}
        with written_folder(out, "export cvat") as folder:
            for parse, name in file_names(parses, ".xml"):
                own = cvat_labels(parse.vocabulary)
                labels |= {label["name"]: _joined(label, labels.get(label["name"])) for label in own}
                tracks = box_tracks(parse, self.threshold)
                _warn_of_lost_actions(parse, tracks)
                with (folder / name).open("w", encoding="utf-8") as file:
                    write_cvat(file, parse, own, tracks, self.tolerance_px)
            (folder / "labels.json").write_text(json.dumps(list(labels.values()), indent=1) + "\n", encoding="utf-8")


def cvat_labels(vocabulary: Vocabulary) -> list[Label]:
    """The labels of a task as CVAT's constructor takes them: `person`, and every part with its states."""
    person: list[Label] = [_attribute("track_id", "number", ["0", "1000000", "1"], mutable=False)]
    if vocabulary.actions:
        person.append(_attribute("action", "select", [UNDEFINED, *vocabulary.actions]))
    parts = zip(vocabulary.parts, vocabulary.part_states, strict=True)
    return [
        {"name": PERSON, "type": "rectangle", "attributes": person},
        *({"name": part, "type": "rectangle", "attributes": [_attribute(s, "checkbox", ["false"]) for s in own]} for part, own in parts),
    ]


def _attribute(name: str, kind: str, values: Sequence[str], mutable: bool = True) -> Label:
    return {"name": name, "mutable": mutable, "input_type": kind, "default_value": values[0], "values": list(values)}


def _joined(label: Label, before: Label | None) -> Label:
    """A label with the attributes that it has in either of two vocabularies."""
    attributes = {one["name"]: one for one in (before or label)["attributes"]} | {one["name"]: one for one in label["attributes"]}
    return label | {"attributes": list(attributes.values())}


def write_cvat(file: IO[str], parse: AnyParse, labels: Sequence[Label], tracks: Iterable[BoxTrack], tolerance_px: float) -> None:
    """The XML of one video."""
    xml = XMLGenerator(file, "utf-8", short_empty_elements=True)
    xml.startDocument()
    xml.startElement("annotations", {})
    _text(xml, "version", "1.1")
    _meta(xml, parse, labels)
    states = {label["name"]: [one["name"] for one in label["attributes"] if one["input_type"] == "checkbox"] for label in labels}
    for number, track in enumerate(tracks):
        _track(xml, number, track, states[track.label], parse.facts.frames_decoded, tolerance_px, bool(parse.vocabulary.actions))
    xml.endElement("annotations")
    xml.endDocument()
    file.write("\n")


def _meta(xml: XMLGenerator, parse: AnyParse, labels: Sequence[Label]) -> None:
    facts = parse.facts
    task = {
        "name": facts.name, "size": facts.frames_decoded, "mode": "interpolation", "overlap": 0, "bugtracker": "", "flipped": False,
        "start_frame": 0, "stop_frame": max(0, facts.frames_decoded - 1), "frame_filter": "",
    }  # fmt: skip
    xml.startElement("meta", {})
    xml.startElement("task", {})
    for name, value in task.items():
        _text(xml, name, value)
    xml.startElement("labels", {})
    for label in labels:
        xml.startElement("label", {})
        _text(xml, "name", label["name"])
        _text(xml, "type", label["type"])
        xml.startElement("attributes", {})
        for attribute in label["attributes"]:
            xml.startElement("attribute", {})
            for name, value in attribute.items():
                _text(xml, name, "\n".join(value) if isinstance(value, list) else value)
            xml.endElement("attribute")
        xml.endElement("attributes")
        xml.endElement("label")
    xml.endElement("labels")
    xml.startElement("original_size", {})
    _text(xml, "width", facts.width)
    _text(xml, "height", facts.height)
    xml.endElement("original_size")
    _text(xml, "source", facts.name)
    xml.endElement("task")
    xml.endElement("meta")


def _track(
    xml: XMLGenerator, number: int, track: BoxTrack, states: Sequence[str], num_frames: int, tolerance_px: float, has_actions: bool
) -> None:
    xml.startElement("track", {"id": str(number), "label": track.label, "source": "auto", "group_id": str(track.group)})
    for places in track.runs():
        for i in track.keys(places, tolerance_px):
            _box(xml, track, i, track.frames[i], False, states, has_actions)
        after = track.frames[places[-1]] + 1
        if after < num_frames:
            _box(xml, track, places[-1], after, True, states, has_actions)
    xml.endElement("track")


def _box(xml: XMLGenerator, track: BoxTrack, i: int, frame: int, outside: bool, states: Sequence[str], has_actions: bool) -> None:
    sides = {name: f"{side:.2f}" for name, side in zip(("xtl", "ytl", "xbr", "ybr"), track.boxes[i].tolist(), strict=True)}
    xml.startElement("box", {"frame": str(frame), "outside": str(int(outside)), "occluded": "0", "keyframe": "1", **sides, "z_order": "0"})
    if track.label == PERSON:
        if track.track_id is not None:
            _attribute_value(xml, "track_id", str(track.track_id))
        if has_actions:
            _attribute_value(xml, "action", track.holds[i][0] if track.holds[i] else UNDEFINED)
    for state in states:
        _attribute_value(xml, state, "true" if state in track.holds[i] else "false")
    xml.endElement("box")


def _attribute_value(xml: XMLGenerator, name: str, value: str) -> None:
    xml.startElement("attribute", {"name": name})
    xml.characters(_NO_XML.sub("\ufffd", value))
    xml.endElement("attribute")


def _text(xml: XMLGenerator, name: str, value: Any) -> None:
    xml.startElement(name, {})
    xml.characters(_NO_XML.sub("\ufffd", str(value)))
    xml.endElement(name)


def _warn_of_lost_actions(parse: AnyParse, tracks: Iterable[BoxTrack]) -> None:
    lost = sum(len(holds) > 1 for track in tracks if track.label == PERSON for holds in track.holds)
    if lost:
        log.warning("%s: in %d boxes a person has several actions, of which the best is written", parse.facts.name, lost)

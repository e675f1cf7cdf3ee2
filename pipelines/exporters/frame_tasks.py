"""Single frames as tasks of annotation tools: pictures with the boxes of a parse on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from parsing.datasets.records import PERSON
from parsing.types import FrameParse
from pipelines.exporters.box_tracks import BoxTrack
from pipelines.exporters.cvat import Label, add_person, add_states, labels_element, valid
from pipelines.exporters.label_studio import choices_name, interface, percent_encoded


@dataclass(frozen=True, eq=False)
class PictureTask:
    """A picture and the boxes on it: persons, each before its parts.

    Args:
        name: of the picture, below the folder of pictures.
    """

    name: str
    image_hw: tuple[int, int]
    frame: FrameParse
    boxes: Sequence[BoxTrack]


def write_cvat_images(tasks: Sequence[PictureTask], labels: Sequence[Label], folder: Path) -> None:
    """`annotations.xml`, CVAT for images 1.1, and `labels.json` for the constructor of the task."""
    states = {label["name"]: [one["name"] for one in label["attributes"] if one["input_type"] == "checkbox"] for label in labels}
    has_actions = any(one["name"] == "action" for label in labels for one in label["attributes"])
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    for name, value in (("name", folder.name), ("size", str(len(tasks))), ("mode", "annotation")):
        SubElement(task, name).text = valid(value)
    task.append(labels_element(labels))
    for number, one in enumerate(tasks):
        height, width = one.image_hw
        image = SubElement(root, "image", {"id": str(number), "name": valid(one.name), "width": str(width), "height": str(height)})
        for box in one.boxes:
            sides = {name: f"{side:.2f}" for name, side in zip(("xtl", "ytl", "xbr", "ybr"), box.boxes[0].tolist(), strict=True)}
            settings = {"label": valid(box.label), "source": "auto", "occluded": "0", "z_order": "0", "group_id": str(box.group)}
            element = SubElement(image, "box", settings | sides)
            if box.label == PERSON:
                add_person(element, box.track_id, box.holds[0], has_actions)
            add_states(element, box.holds[0], states[box.label])
    indent(root)
    (folder / "annotations.xml").write_text('<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n", "utf-8")
    (folder / "labels.json").write_text(json.dumps(list(labels), indent=1) + "\n", encoding="utf-8")


def write_label_studio_images(tasks: Sequence[PictureTask], words: dict[str, dict[str, None]], link: str, folder: Path) -> None:
    """`tasks.json` with predictions, and `labels.xml`, the labelling interface."""
    found = [
        {
            "id": number,
            "data": {"image": link + percent_encoded(one.name)},
            "predictions": [{"result": list(_results(one, words)), "model_version": "partwise"}],
        }
        for number, one in enumerate(tasks, 1)
    ]
    (folder / "tasks.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (folder / "labels.xml").write_text(interface(words, "Image"), encoding="utf-8")


def _results(task: PictureTask, words: Mapping[str, Mapping[str, None]]) -> Iterator[dict[str, Any]]:
    height, width = task.image_hw
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    for box in task.boxes:
        key = f"p{box.group}" if box.label == PERSON else f"p{box.group}-{box.label}"
        x1, y1, x2, y2 = box.boxes[0].tolist()
        shares = {"x": x1 / width, "y": y1 / height, "width": (x2 - x1) / width, "height": (y2 - y1) / height}
        value = {name: round(100 * share, 5) for name, share in shares.items()} | {"rotation": 0}
        common = {"id": key, "to_name": "image", "origin": "prediction", **size}
        owner = {} if box.label == PERSON else {"parentID": f"p{box.group}"}
        yield common | {"type": "rectanglelabels", "from_name": "box", "value": value | {"rectanglelabels": [box.label]}} | owner
        if box.label != PERSON and words[box.label]:
            choices = value | {"choices": list(box.holds[0])}
            yield common | {"type": "choices", "from_name": choices_name(box.label), "value": choices}

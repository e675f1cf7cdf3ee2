"""CVAT for images 1.1 and CVAT for video 1.1."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from parsing.configs import nearest
from parsing.datasets.problems import Problems, named_file, what
from parsing.datasets.records import ImageRecord
from parsing.datasets.regions import Picture, Region, as_records, turned_box
from parsing.datasets.tracks import KeyBox, boxes_between, frame_pictures, num_frames
from parsing.errors import InputError
from parsing.xml_files import read_xml

# Of a label: its attributes that are states, by their kind and the values that they can have.
Attributes = Mapping[str, tuple[str, tuple[str, ...]]]
_UNDEFINED = ("", "__undefined__")


def read_cvat(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """The XML of a task or a job: boxes of images, or tracks of a video, of which every annotated frame becomes a picture.

    Attributes of parts that are checkboxes, selections or radio buttons give their states: the name of a ticked box, or the
    chosen value. A part belongs to the person of its group (`group_id`), or to the one whose box holds it. Turned boxes
    become the upright boxes around them, other shapes are passed over; notes count both.

    Args:
        images: folder of the images, or of the video or the pictures of its frames, see `frame_pictures`.

    Raises:
        InputError: the file is no such XML, or a box does not fit, or the video is not there.
    """
    root = read_xml(annotations)
    if root.tag != "annotations" or (root.find("image") is None and root.find("track") is None):
        raise InputError(f"{annotations}: expected <annotations> with <image> or <track>, as CVAT for images or for video 1.1")
    reader = _Reader(annotations, _labels(root), problems)
    pictures = reader.video(root, images) if root.find("track") is not None else reader.images(root, images)
    for kind, count in reader.noted.items():
        problems.note(annotations, f"{count} {kind}")
    return as_records(pictures, annotations, "cvat", problems)


def _labels(root: Element) -> dict[str, Attributes]:
    """The attributes of each label; empty where the file does not list its labels."""
    return {
        label.findtext("name", ""): {
            attribute.findtext("name", ""): (attribute.findtext("input_type", ""), tuple((attribute.findtext("values") or "").split("\n")))
            for attribute in label.iter("attribute")
        }
        for label in root.iterfind("meta//labels/label")
    }


class _Reader:
    """Boxes of one file; `noted` counts what was read otherwise than it was drawn."""

    def __init__(self, file: Path, labels: Mapping[str, Attributes], problems: Problems) -> None:
        self.file, self.labels, self.problems = file, labels, problems
        self.noted: Counter[str] = Counter()

    def images(self, root: Element, folder: Path) -> list[Picture]:
        pictures = []
        for image in root.iterfind("image"):
            regions, lost, name = [], False, image.get("name", "")
            groups = self._groups(image)
            for number, shape in enumerate(image):
                try:
                    if shape.tag == "box":
                        label = self._label(shape)
                        regions.append(Region(f"box {number}", label, self._box(shape), self._states(shape, label), None, *groups[number]))
                    elif shape.tag != "tag":
                        self.noted[f"shapes <{shape.tag}> passed over"] += 1
                except (KeyError, ValueError) as error:
                    lost = True
                    self.problems.add(self.file, f"image {name}: box {number}", what(error))
            try:
                pictures.append(Picture(named_file(folder, name), name, regions, None, lost))
            except ValueError as error:
                self.problems.add(self.file, f"image {image.get('id')}", str(error))
        return pictures

    def video(self, root: Element, folder: Path) -> list[Picture]:
        sources = {source.text or "" for source in root.iterfind("meta//source")}
        if len(sources) != 1:
            raise InputError(f"{self.file}: tracks of {len(sources)} videos, expected one <source> in <meta>; export each task by itself")
        video, regions = sources.pop(), defaultdict[int, list[Region]](list)
        frames, groups = self._frames(root, num_frames(video, folder)), self._groups(root)
        for number, track in enumerate(root):
            name = f"track {track.get('id', number)}"
            try:
                if track.tag == "track":
                    label, keys = track.attrib["label"], [self._key(track, box) for box in track.iterfind("box")]
                    for key in boxes_between(keys, frames):
                        regions[key.frame].append(Region(name, label, key.xyxy, key.states, None, *groups[number]))
                    for shape in {shape.tag for shape in track} - {"box"}:
                        self.noted[f"tracks of <{shape}> passed over"] += 1
            except (KeyError, ValueError) as error:
                self.problems.add(self.file, name, what(error))
        paths = frame_pictures(video, regions, folder)
        return [Picture(path, f"{video} frame {frame}", regions[frame]) for frame, path in paths.items()]

    def _frames(self, root: Element, count: int) -> range:
        """The frames of the task: all of the video, or every n-th of a section."""
        try:
            start = int(root.findtext("meta//start_frame") or 0)
            step = int((root.findtext("meta//frame_filter") or "step=1").partition("=")[2])
            return range(start, count, step)
        except ValueError:
            raise InputError(f"{self.file}: start_frame or frame_filter, expected whole numbers as in `step=5`") from None

    def _key(self, track: Element, box: Element) -> KeyBox:
        label = self._label(track)
        return KeyBox(int(box.attrib["frame"]), self._box(box), box.get("outside", "0") == "0", self._states(box, label))

    def _label(self, shape: Element) -> str:
        label = shape.attrib["label"]
        if self.labels and label not in self.labels:
            raise ValueError(f"unknown label {label!r:.60}; {nearest(label, self.labels)}")
        return label

    def _box(self, box: Element) -> list[float]:
        x1, y1, x2, y2 = xyxy = [float(box.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr")]
        if degrees := float(box.get("rotation", 0)):
            self.noted["turned boxes, taken as the upright boxes around them"] += 1
            return turned_box(xyxy, degrees, ((x1 + x2) / 2, (y1 + y2) / 2))
        return xyxy

    def _states(self, box: Element, label: str) -> dict[str, bool]:
        states: dict[str, bool] = {}
        for attribute in box.iterfind("attribute"):
            name, value = attribute.get("name", ""), attribute.text or ""
            kind, values = self.labels.get(label, {}).get(name, ("checkbox" if value in ("true", "false") else "select", (value,)))
            if kind == "checkbox" and value in ("true", "false"):
                states[name] = value == "true"
            elif kind in ("select", "radio") and value not in _UNDEFINED:
                if value not in values:
                    raise ValueError(f"{name}: {value!r:.60}; {nearest(value, values)}")
                states |= {other: other == value for other in values if other not in _UNDEFINED}
        return states

    def _groups(self, parent: Element) -> dict[int, tuple[str | None, str | None]]:
        """Key and owner of each shape or track: both are its group, which its one person stands for."""
        groups = {i: child.get("group_id", "0") for i, child in enumerate(parent)}
        return {i: (None, None) if group in ("0", "") else (group, group) for i, group in groups.items()}

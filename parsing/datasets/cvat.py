"""CVAT for images 1.1 and CVAT for video 1.1."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
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
UNDEFINED = ("", "__undefined__")


def read_cvat(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """The XML of a task, a job or a project, or a folder of such files: boxes of images, or tracks of videos.

    Of a video each annotated frame becomes a picture.

    In an export of a project each track belongs to its task's video. Frames that were deleted in CVAT have no boxes, as it
    exports none of them. Attributes of parts that are checkboxes (or texts `true` and `false`), selections or radio buttons give
    their states: the name of a ticked box, or the chosen value. A part belongs to the person of its group (`group_id`), or to
    the one whose box holds it. Turned boxes become the upright boxes around them, other shapes are passed over; notes count both.

    Args:
        images: folder of the images, or of the video or the pictures of its frames, see `frame_pictures`.

    Raises:
        InputError: the file is no such XML, or a box does not fit, or the video is not there.
    """
    if annotations.is_dir():
        return [record for file in files_of(annotations, ".xml") for record in read_cvat(file, images, problems)]
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


@dataclass(frozen=True)
class Task:
    """The video of a task, which of its frames were annotated, and what CVAT adds to their numbers in an export of a project."""

    video: str
    start: int
    step: int
    offset: int = 0


def files_of(annotations: Path, suffix: str) -> list[Path]:
    """A file, with or without its suffix, or those of a folder, as one export of several videos writes them.

    Raises:
        InputError: there is none.
    """
    if annotations.is_dir():
        found = sorted(path for path in annotations.iterdir() if path.suffix == suffix)
        if not found:
            raise InputError(f"{annotations}: no {suffix} file in this folder")
        return found
    return [annotations if annotations.suffix == suffix else annotations.with_name(annotations.name + suffix)]


def tasks_of(root: Element, file: Path) -> dict[str, Task]:
    """The tasks of videos by their ids; that of an export of one task or job by every id, which is "".

    Raises:
        InputError: there is no video, or numbers are none.
    """
    listed = root.findall("meta/project/tasks/task")
    tasks: dict[str, Task] = {}
    subset, offset = None, 0
    for task in listed or root.findall("meta"):
        sources = {source.text or "" for source in task.iter("source")}
        if len(sources) > 1:
            raise InputError(f"{file}: tracks of {len(sources)} videos in one task, expected one <source>")
        try:
            start = int(task.findtext(".//start_frame") or 0)
            step = int((task.findtext(".//frame_filter") or "step=1").partition("=")[2])
            size = int(task.findtext("size") or 0) if listed else 0
            range(0, 1, step)
        except ValueError:
            raise InputError(f"{file}: size, start_frame or frame_filter, expected whole numbers as in `step=5`") from None
        subset, offset = (task.findtext("subset"), offset if task.findtext("subset") == subset else 0)
        if sources:
            tasks[(task.findtext("id") or "") if listed else ""] = Task(sources.pop(), start, step, offset if listed else 0)
        offset += start + step * size  # CVAT numbers the frames of a subset's tasks in one row
    if not tasks:
        raise InputError(f"{file}: tracks of no video, expected a <source> in <meta>")
    return tasks


def task_of(track: Element, tasks: Mapping[str, Task]) -> Task:
    """Raises ValueError where a project has no such task of a video."""
    number = "" if "" in tasks else track.get("task_id", "")
    if number not in tasks:
        raise ValueError(f"task_id {number!r:.40}; the tasks of videos are {', '.join(tasks):.100}")
    return tasks[number]


def _image_file(folder: Path, name: str, subset: str) -> Path:
    """The file of an image; exports of projects have a folder for each subset."""
    path = named_file(folder, name)
    below = named_file(folder / Path(subset).name, name) if subset else path
    return path if path.is_file() else below if below.is_file() else path


class _Reader:
    """Boxes of one file; `noted` counts what was read otherwise than it was drawn."""

    def __init__(self, file: Path, labels: Mapping[str, Attributes], problems: Problems) -> None:
        self.file, self.labels, self.problems = file, labels, problems
        self.noted: Counter[str] = Counter()
        self._ranges: dict[Task, range] = {}

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
                pictures.append(Picture(_image_file(folder, name, image.get("subset", "")), name, regions, None, lost))
            except ValueError as error:
                self.problems.add(self.file, f"image {image.get('id')}", str(error))
        return pictures

    def video(self, root: Element, folder: Path) -> list[Picture]:
        tasks, found = tasks_of(root, self.file), defaultdict[Task, dict[int, list[Region]]](lambda: defaultdict(list))
        # CVAT writes the box of every frame, so frames without one were deleted; other tools write key frames alone.
        dense = any(box.get("keyframe") == "0" for box in root.iterfind("track/box"))
        groups = self._groups(root)
        for number, track in enumerate(root):
            name = f"track {track.get('id', number)}"
            try:
                if track.tag == "track":
                    task, label = task_of(track, tasks), track.attrib["label"]
                    keys = [self._key(track, box, task.offset) for box in track.iterfind("box")]
                    for key in boxes_between(keys, self._frames(task, folder), dense):
                        found[task][key.frame].append(Region(name, label, key.xyxy, key.states, None, *groups[number]))
                    for shape in {shape.tag for shape in track} - {"box"}:
                        self.noted[f"tracks of <{shape}> passed over"] += 1
            except (KeyError, ValueError) as error:
                self.problems.add(self.file, name, what(error))
        return [picture for task, regions in found.items() for picture in self._pictures(task.video, regions, folder)]

    def _pictures(self, video: str, regions: Mapping[int, list[Region]], folder: Path) -> list[Picture]:
        paths = frame_pictures(video, regions, folder)
        return [Picture(path, f"{video} frame {frame}", regions[frame], video=video, frame=frame) for frame, path in paths.items()]

    def _frames(self, task: Task, folder: Path) -> range:
        """The frames of a task: all of the video, or every n-th of a section."""
        if task not in self._ranges:
            self._ranges[task] = range(task.start, num_frames(task.video, folder), task.step)
        return self._ranges[task]

    def _key(self, track: Element, box: Element, offset: int) -> KeyBox:
        label = self._label(track)
        return KeyBox(int(box.attrib["frame"]) - offset, self._box(box), box.get("outside", "0") == "0", self._states(box, label))

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
            if kind in ("checkbox", "text") and value in ("true", "false"):  # Datumaro declares all of its attributes as text
                states[name] = value == "true"
            elif kind in ("select", "radio") and value not in UNDEFINED:
                if value not in values:
                    raise ValueError(f"{name}: {value!r:.60}; {nearest(value, values)}")
                states |= {other: other == value for other in values if other not in UNDEFINED}
        return states

    def _groups(self, parent: Element) -> dict[int, tuple[str | None, str | None]]:
        """Key and owner of each shape or track: both are its group, which its one person stands for."""
        groups: dict[int, tuple[str | None, str | None]] = {}
        for number, child in enumerate(parent):
            group = child.get("group_id", "0")
            key = None if group in ("0", "") else f"{child.get('task_id', '')} {group}"  # tasks of a project count for themselves
            groups[number] = (key, key)
        return groups

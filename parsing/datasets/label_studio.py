"""Label Studio's JSON export: rectangles on images, and tracks of rectangles on videos."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parsing.datasets.problems import Problems, named_file, what
from parsing.datasets.records import ImageRecord
from parsing.datasets.regions import Picture, Region, as_records, turned_box
from parsing.datasets.tracks import KeyBox, boxes_between, frame_pictures, is_there, num_frames
from parsing.errors import InputError
from parsing.json_files import read_json
from parsing.media.images import image_size

_ESCAPED = re.compile(rb"%([0-9a-fA-F]{2})")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # stands before the name of every file that was uploaded


@dataclass
class _Drawn:
    """What the results of one id say together."""

    label: str = ""
    value: dict[str, Any] = field(default_factory=dict)
    held: list[str] | None = None
    owner: str | None = None


@dataclass
class _Where:
    """The task that is read, and what is said of it."""

    name: str
    file: Path
    problems: Problems
    noted: Counter[str]


def read_label_studio(annotations: Path, images: Path, problems: Problems) -> list[ImageRecord]:
    """The JSON export (not JSON-MIN): a list of tasks with their annotations.

    Rectangles are shares of the picture in percent; turned ones become the upright boxes around them. Choices of a region are
    its states, and those that regions of its label have elsewhere do not hold. A part belongs to the person above it in the
    tree of regions or at the other end of a relation, or to the one whose box holds it. Of several annotations of a task the
    first that was not cancelled counts; tasks without one are left out. Notes count all of these.

    Args:
        images: folder of the images, or of the videos or the pictures of their frames, see `frame_pictures`.

    Raises:
        InputError: the file is no such export, a region does not fit, or a file is not there.
    """
    tasks = tasks_in(annotations)
    noted: Counter[str] = Counter()
    pictures: list[Picture] = []
    for task in tasks:
        name = f"task {task.get('id')!r:.40}"
        try:
            result = result_of(task, noted)
            if result is not None:
                pictures += _pictures(task["data"], _drawn(result, noted), images, _Where(name, annotations, problems, noted))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, InputError) as error:
            problems.add(annotations, name, what(error))
    for kind, count in noted.items():
        problems.note(annotations, f"{count} {kind}")
    return as_records(pictures, annotations, "label_studio", problems)


def tasks_in(file: Path) -> list[dict[str, Any]]:
    """The tasks of an export.

    Raises:
        InputError: it is none.
    """
    tasks = read_json(file)
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks):
        raise InputError(f"{file}: expected a list of tasks with 'data' and 'annotations': the export 'JSON', not 'JSON-MIN'")
    return tasks


def result_of(task: Mapping[str, Any], noted: Counter[str]) -> list[Any] | None:
    """The regions and choices of a task's first annotation that was not cancelled; None where there is none.

    Raises:
        ValueError: they are no list.
    """
    given = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
    if not given:
        noted["tasks without an annotation left out"] += 1
        return None
    if len(given) > 1:
        noted["tasks with several annotations, of which the first counts"] += 1
    result = given[0].get("result")
    if not isinstance(result, list) or not all(isinstance(one, dict) for one in result):
        raise ValueError(f"result {result!r:.60}, expected a list of regions")
    return result


def _drawn(result: Sequence[dict[str, Any]], noted: Counter[str]) -> dict[str, _Drawn]:
    found: dict[str, _Drawn] = defaultdict(_Drawn)
    relations = []
    for one in result:
        kind = one.get("type")
        if kind == "relation":
            relations.append((str(one["from_id"]), str(one["to_id"])))
            continue
        region, value = found[str(one["id"])], one["value"]
        labels = value.get("rectanglelabels") or value.get("videorectanglelabels") or value.get("labels")
        if kind not in ("rectanglelabels", "rectangle", "videorectangle", "labels", "choices"):
            noted[f"results of type {kind!r:.40} passed over"] += 1
        if kind == "choices":
            region.held = [*(region.held or ()), *_names(value["choices"])]
        if labels:
            region.label = _names(labels)[0]
        if kind in ("rectanglelabels", "rectangle", "videorectangle"):
            region.value, region.owner = {**region.value, **value}, str(one.get("parentID") or "") or region.owner
    for ends in relations:
        for part, person in (ends, ends[::-1]):
            if part in found and person in found and found[part].owner is None:
                found[part].owner = person
    return {key: region for key, region in found.items() if region.value}


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{value!r:.60}, expected a list of names")
    return value


def _pictures(data: Mapping[str, Any], drawn: Mapping[str, _Drawn], images: Path, where: _Where) -> list[Picture]:
    """The picture of a task, or those of a video's annotated frames."""
    of_video = "video" in data or any("sequence" in region.value for region in drawn.values())
    media = file_name(data.get("video" if of_video else "image") or next((link for link in data.values() if link), None), images)
    regions: dict[int, list[Region]] = defaultdict(list, {} if of_video else {0: []})
    frames, lost = range(num_frames(media, images) if of_video else 1), False
    for key, region in drawn.items():
        try:
            if not region.label:
                raise ValueError("no label")
            boxes = _track(region.value, frames) if of_video else [KeyBox(0, _percent(region.value))]
            for box in boxes:
                regions[box.frame].append(Region(f"region {key}", region.label, box.xyxy, {}, region.held, key, region.owner))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            lost = True
            where.problems.add(where.file, f"{where.name}: region {key}", what(error))
    paths = frame_pictures(media, regions, images) if of_video else {0: named_file(images, media)}
    pictures = []
    for frame, path in paths.items():
        size = image_size(path)
        placed = [replace(region, xyxy=_pixels(region.xyxy, size, where.noted)) for region in regions[frame]]
        name, video = (f"{media} frame {frame}", media) if of_video else (media, "")
        pictures.append(Picture(path, name, placed, None, lost, video, frame))
    return pictures


def file_name(link: Any, images: Path) -> str:
    """The file below `images` that a link of a task means: an upload, a local file (`?d=`), or what a URL ends in."""
    if not isinstance(link, str) or not link:
        raise ValueError("data: expected an 'image' or a 'video'")
    path = link.partition("?d=")[2].partition("&")[0] or link.partition("?")[0]
    path = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), path.encode()).decode("utf-8", "replace")
    last = path.rpartition("/")[2]
    names = [path.lstrip("/"), last, _UPLOADED.sub("", last)]
    return next(
        (name for name in names if name and ".." not in name and (named_file(images, name).is_file() or is_there(name, images))), last
    )


def _track(value: Mapping[str, Any], frames: range) -> list[KeyBox]:
    """The box at each frame, from 0, in percent; one that is not `enabled` is the last before the track is away."""
    found = {int(box["frame"]) - 1: box for box in value["sequence"]}
    keys = {frame: KeyBox(frame, _percent(box)) for frame, box in found.items()}
    last = max(keys, default=-1)
    if keys and found[last].get("enabled", True) and last < (end := min(int(value.get("framesCount") or 0), frames.stop) - 1):
        keys[end] = replace(keys[last], frame=end)
    for frame, box in found.items():
        if not box.get("enabled", True) and frame + 1 not in keys:
            keys[frame + 1] = KeyBox(frame + 1, keys[frame].xyxy, False)
    return boxes_between(keys.values(), frames)


def _percent(box: Mapping[str, Any]) -> list[float]:
    """x, y, width, height in percent of the picture, and degrees."""
    return [float(box[name]) for name in ("x", "y", "width", "height")] + [float(box.get("rotation") or 0)]


def _pixels(box: Sequence[float], image_hw: tuple[int, int], noted: Counter[str]) -> list[float]:
    """xyxy px of `_percent`, whose degrees turn clockwise about the upper left corner."""
    height, width = image_hw
    x, y, w, h = (number * side / 100 for number, side in zip(box[:4], (width, height) * 2, strict=True))
    if box[4]:
        noted["turned boxes, taken as the upright boxes around them"] += 1
        return turned_box((x, y, x + w, y + h), box[4], (x, y))
    return [x, y, x + w, y + h]

"""Actions of whole videos, as annotation tools' files say them: clips for recognizers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element

from parsing.datasets.clip_lists import ClipRecord
from parsing.datasets.cvat import UNDEFINED, files_of, task_of, tasks_of
from parsing.datasets.label_studio import file_name, result_of, tasks_in
from parsing.datasets.problems import what
from parsing.datasets.tracks import video_file
from parsing.errors import InputError
from parsing.xml_files import read_xml

log = logging.getLogger(__name__)
ACTION = "action"  # the attribute of a track, and the choices of a video, that say it
Told = Mapping[str, tuple[str, ...]]  # a video -> its actions


def read_tool_clips(kind: str, root: Path, labels: str) -> Iterator[ClipRecord]:
    """The videos of `<labels>_train` and `<labels>_val`, files or folders of them, which lie in `<root>/images` or in `root`.

    CVAT: a video has the action that its tracks' `action` attribute says for the most frames. Label Studio: the choices of a
    whole video, `<Choices name="action" toName="video">`. Videos that no action is said of are left out.

    Raises:
        InputError: a file does not fit, or a video is not there.
    """
    suffix, read = READERS[kind]
    for split in ("train", "val"):
        for file in files_of(root / f"{labels}_{split}", suffix):
            told = read(file, root / "images")
            for video, actions in told.items():
                path = video_file(video, root / "images")
                if path is None:
                    raise InputError(f"{file}: video {video} is in neither {root / 'images'} nor {root}")
                if actions:
                    yield ClipRecord(path, actions, split)
            if silent := [video for video, actions in told.items() if not actions]:
                log.warning("%s: no action of %d videos, the first %s; left out", file, len(silent), silent[0])


def _cvat(file: Path, _images: Path) -> Told:
    root = read_xml(file)
    tasks = tasks_of(root, file)
    lasting: dict[str, Counter[str]] = {task.video: Counter() for task in tasks.values()}
    for number, track in enumerate(root.iterfind("track")):
        try:
            lasting[task_of(track, tasks).video].update(_frames_of(track))
        except (KeyError, ValueError) as error:
            raise InputError(f"{file}: track {track.get('id', number)}: {what(error)}") from None
    return {video: tuple(action for action, _ in counts.most_common(1)) for video, counts in lasting.items()}


def _frames_of(track: Element) -> Counter[str]:
    """For how many frames each action is said of a track; one holds until the next box."""
    boxes = sorted(track.iterfind("box"), key=lambda box: int(box.attrib["frame"]))
    counts: Counter[str] = Counter()
    for box, following in pairwise([*boxes, None]):
        said = next((attribute.text or "" for attribute in box.iterfind("attribute") if attribute.get("name") == ACTION), "")  # type: ignore[union-attr]
        if said not in UNDEFINED and box is not None and box.get("outside", "0") == "0":
            counts[said] += 1 if following is None else int(following.attrib["frame"]) - int(box.attrib["frame"])
    return counts


def _label_studio(file: Path, images: Path) -> Told:
    told: dict[str, tuple[str, ...]] = {}
    for task in tasks_in(file):
        try:
            result = result_of(task, Counter())
            if result is not None:
                chosen = [one["value"]["choices"] for one in result if one.get("type") == "choices" and one.get("from_name") == ACTION]
                told[file_name(task["data"].get("video"), images)] = tuple(str(name) for names in chosen for name in names)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{file}: task {task.get('id')!r:.40}: {what(error)}") from None
    return told


READERS: dict[str, tuple[str, Callable[[Path, Path], Told]]] = {"cvat": (".xml", _cvat), "label_studio": (".json", _label_studio)}
__all__ = ["ACTION", "read_tool_clips"]

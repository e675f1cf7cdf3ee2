"""Result files of the benchmark: ground truth and predictions, read video by video and checked against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from parsing.configs import nearest
from parsing.datasets.kinetics_tps.annotations import FRAME_NAME, frame_number, verb_names
from parsing.errors import InputError
from parsing.json_files import parse_json, read_json, read_json_texts

SAMPLE_EVERY = 5
Missing = Literal["error", "zero"]


@dataclass(frozen=True, eq=False)
class Results:
    """One side of the comparison.

    Args:
        parts: video to frame name to the frame's JSON object, or a struct of `decode_frames`, still unchecked inside; of a file, it is
            parsed at each look-up.
        actions: video to action.
        parts_path, actions_path: the files, for messages.
    """

    parts: Mapping[str, Mapping[str, Any]]
    actions: Mapping[str, str]
    parts_path: Path
    actions_path: Path


def is_truth(folder: Path) -> bool:
    """Whether a folder is one that `read_truth` reads, by the names of its files."""
    if (folder / "gt_part_result.json").is_file():
        return True
    return folder.is_dir() and not any(folder.glob("*.json")) and next(_tree(folder).glob("*/*/**/img_*.json"), None) is not None


def _tree(folder: Path) -> Path:
    """Where the classes of annotations stand."""
    return folder / "annotations" if (folder / "annotations").is_dir() else folder


def read_truth(folder: Path) -> Results:
    """Ground truth from `gt_part_result.json` and `gt_vid_result.json`, or from a tree of annotations.

    A tree is `<class>/<video>/…/img_%05d.json`; its frames 1, 6, 11, … are taken, and of several states of a part the
    first.

    Raises:
        InputError: neither is there, or a file does not fit.
    """
    parts, actions = folder / "gt_part_result.json", folder / "gt_vid_result.json"
    if parts.is_file() or actions.is_file():
        return read_results(parts, actions)
    tree = _tree(folder)
    found: dict[str, dict[str, Any]] = {}
    classes: dict[str, str] = {}
    for file in sorted(tree.rglob("img_*.json")):
        steps = file.relative_to(tree).parts
        if len(steps) < 3:
            raise InputError(f"{file}: expected <class>/<video>/{file.name} below {tree}")
        action, video = steps[0], steps[1]
        if classes.setdefault(video, action) != action:
            raise InputError(f"{file}: video {video!r} stands under {classes[video]!r} and {action!r}")
        if frame_number(file.name, str(file)) % SAMPLE_EVERY == 1:
            found.setdefault(video, {})[file.name] = _first_states(read_json(file, unique_keys=True))
    if not found:
        raise InputError(f"{folder}: expected gt_part_result.json and gt_vid_result.json, or <class>/<video>/img_00001.json")
    return Results(found, classes, tree, tree)


def read_results(parts_path: Path, actions_path: Path) -> Results:
    """A part file `{video: {"img_00001.json": {"humans": […]}}}` and an action file `{video: class}`.

    Raises:
        InputError: a file cannot be read or has another form; of a video's frames, when they are looked up.
    """
    texts, actions = read_json_texts(parts_path), read_json(actions_path, unique_keys=True)
    if not isinstance(actions, dict):
        raise InputError(f"{actions_path}: expected an object of actions by video")
    for video, action in actions.items():
        if not isinstance(action, str):
            raise InputError(f"{actions_path}: {video}: action {action!r:.60}, expected a text")
    return Results(_Videos(texts, parts_path), actions, parts_path, actions_path)


class _Videos(Mapping[str, Mapping[str, Any]]):
    """The frames of each video of a part file, parsed when they are looked up, so that memory holds one video's objects."""

    def __init__(self, texts: Mapping[str, bytes], path: Path) -> None:
        self._texts, self._path = texts, path

    def __getitem__(self, video: str) -> Mapping[str, Any]:
        from parsing.datasets.kinetics_tps.forms import decode_frames  # late, as result files alone need it

        text, where = self._texts[video], f"{self._path}: {video}"
        frames = decode_frames(text)
        if frames is None:
            frames = parse_json(text, where, unique_keys=True)
        if not isinstance(frames, dict):
            raise InputError(f"{where}: expected an object of frames")
        if not all(map(FRAME_NAME.fullmatch, frames)):
            for name in frames:
                frame_number(name, where)
        return frames

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, video: object) -> bool:
        return video in self._texts


def check_videos(truth: Results, found: Results, missing: Missing) -> list[str]:
    """Problems that `missing: zero` lets pass, as lines.

    Raises:
        InputError: a video stands in one file only; always where the ground truth itself is not whole.
    """
    if lost := sorted(truth.actions.keys() - truth.parts.keys()):
        raise InputError(f"{truth.parts_path}: lacks video {lost[0]!r} of {truth.actions_path}")
    lines = []
    for path, videos in ((found.parts_path, found.parts), (found.actions_path, found.actions)):
        if lost := sorted(truth.actions.keys() - videos.keys()):
            lines.append(f"{path}: lacks {len(lost)} of {len(truth.actions)} videos, the first {lost[0]!r}")
        if more := sorted(videos.keys() - truth.actions.keys()):
            lines.append(f"{path}: {len(more)} videos that the ground truth does not have, the first {more[0]!r}")
    if lines and missing == "error":
        raise InputError(f"{lines[0]}; --missing zero scores what lacks as 0 and leaves out what is too much")
    return lines


def check_actions(found: Results, actions: set[str]) -> None:
    """Raises InputError for a predicted action that the list does not have; names the nearest."""
    for video, action in found.actions.items():
        if action not in actions:
            raise InputError(f"{found.actions_path}: {video}: unknown action {action!r:.60}; {nearest(action, actions)}")


def _first_states(frame: Any) -> Any:
    """The annotation with one state a part; what does not have the expected form stays for the reader to refuse."""
    if not isinstance(frame, dict) or not isinstance(frame.get("humans"), list):
        return frame
    humans = []
    for human in frame["humans"]:
        parts = human.get("parts", {}) if isinstance(human, dict) else None
        if not isinstance(parts, dict) or not all(isinstance(part, dict) and _names(part) for part in parts.values()):
            return frame
        one = {name: {**part, "box": _one_box(part.get("box")), "verb": verb_names(part["verb"])[0]} for name, part in parts.items()}
        humans.append({**human, "box": _one_box(human.get("box")), "parts": one})
    return {"humans": humans}


def _names(part: dict[str, Any]) -> bool:
    verb = part.get("verb")
    try:
        return isinstance(verb, str) or (isinstance(verb, list) and bool(verb_names(verb)))
    except TypeError:
        return False


def _one_box(box: Any) -> Any:
    return box[0] if isinstance(box, list) and box and isinstance(box[0], list) else box

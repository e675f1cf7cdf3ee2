#!/usr/bin/env python3
"""A small data set in the format of Kinetics-TPS from labelled clips, so that its whole path can run without it.

    python scripts/make_clip_set.py --labels DATA/actions/labels.csv --pose movenet_single_pose_lightning_ptq.tflite --out runs/clip_set

It is not Kinetics-TPS: the actions are the clips' own labels, but persons come from the shipped person detector with
mirrored views, parts and states by rule (`parsing.pose`, `parsing.motion`) from the keypoints of the given pose graph.
Every annotation says `"source": "teacher"`. Each split (`train`, `val`) has `videos/<class>/`, `frames/<class>/<video>/`
and `annotations/<class>/<video>/<video>/`; `val` also has `gt_part_result.json` and `gt_vid_result.json`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from detectors.adapters.onnx_poses import OnnxPoseConfig
from detectors.persons import PersonDetectorConfig
from parsing.geometry import clip_boxes
from parsing.media.sources import open_source
from parsing.motion import motion_states
from parsing.pose import STATE_NAMES, part_boxes, part_states
from parsing.recorded.stages import match_boxes
from parsing.types import Array, Detections, Frame
from parsing.vocabulary import PART_NAMES

EVERY, MOST_FRAMES = 5, 60  # frames 1, 6, 11, … of the first sixty
MIN_SCORE, MIN_HEIGHT_PX, MIN_JOINT = 0.5, 40, 0.25
MOST_PERSONS = 10
# The state that is scored where several hold: the rarer, more telling one first.
ORDER = ("swing", "step", "turn", "bow", "sit", "stoop", "lift", "raise", "lower", "bend", "unbend", "upright", "stand")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a data set in the format of Kinetics-TPS from labelled clips.")
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file, label, split, for_shipped_weights")
    parser.add_argument("--pose", required=True, help="pose graph with 17 COCO keypoints (.onnx, .tflite)")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = wanted_clips(arguments.labels)
    detector = PersonDetectorConfig("cascade_rcnn", score_threshold=MIN_SCORE, flip=True).build("cpu")
    pose = OnnxPoseConfig("onnx", arguments.pose).build("cpu")
    truth = {split: ({}, {}) for split in ("train", "val")}
    for number, row in enumerate(rows, 1):
        source = arguments.labels.parent / row["file"]
        found = open_source(source).at(range(0, MOST_FRAMES, EVERY))
        frames = [frame for index, frame in sorted(found.items()) if frame.index == index]
        persons = [found.select(np.arange(len(found))[:MOST_PERSONS]) for frame in frames for found in detector([frame])]
        keypoints = [estimate.keypoints for estimate in pose(frames, persons)]
        humans = annotate(frames, persons, keypoints)
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


def wanted_clips(labels: Path) -> list[dict[str, str]]:
    """Clips of actions that stand in both splits; none that may not be trained on in `train`."""
    with labels.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == "val" or (r["split"] == "train" and r["for_shipped_weights"] != "no")]
    both = set.intersection(*({r["label"] for r in rows if r["split"] == split} for split in ("train", "val")))
    return [row for row in rows if row["label"] in both]


def annotate(frames: list[Frame], persons: list[Detections], keypoints: list[Array]) -> list[list[dict]]:
    """Humans of every frame; motion is read between a frame and its neighbours, where the same person is found."""
    annotated: list[list[dict]] = []
    for t, (frame, found) in enumerate(zip(frames, persons, strict=True)):
        humans = []
        for i, box in enumerate(clip_boxes(found.xyxy, frame.image_hw)):
            human = {"number": i + 1, "box": rounded(box), "source": "teacher", "parts": {}}
            points = seen(keypoints[t][i])
            if box[3] - box[1] >= MIN_HEIGHT_PX:
                boxes, visible = part_boxes(points, box)
                holds, known = part_states(points, box)
                holds &= known
                for other in (t - 1, t + 1):
                    if 0 <= other < len(frames):
                        rows, columns = match_boxes(box[None], persons[other].xyxy)
                        seconds = abs(frames[other].time_s - frame.time_s)
                        if len(rows) and seconds > 0:
                            moves, sure = motion_states(points, seen(keypoints[other][columns[0]]), box, seconds)
                            holds |= moves & sure
                boxes = clip_boxes(boxes, frame.image_hw)
                visible &= (boxes[:, 2:] - boxes[:, :2]).min(1) >= 2
                human["parts"] = {
                    name: {"number": p + 1, "box": rounded(boxes[p]), "verb": verbs, "name": name}
                    for p, name in enumerate(PART_NAMES)
                    if visible[p] and (verbs := [state for state in ORDER if holds[p, STATE_NAMES.index(state)]])
                }
            humans.append(human)
        annotated.append(humans)
    return annotated


def seen(points: Array) -> Array:
    """Keypoints with a visibility of 1 or 0, as the rules want it."""
    return np.concatenate([points[:, :2], (points[:, 2:] >= MIN_JOINT).astype(np.float32)], 1)


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

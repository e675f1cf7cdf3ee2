#!/usr/bin/env python3
"""Turn labelled action clips into images with poses, which the part-state network learns its action conditioning from.

    python scripts/label_poses.py --labels DATA/actions/labels.csv --out runs/action_poses

Frames spread over each clip go through BlazePose (Google, Apache-2.0), which finds one person a frame; the result is
COCO JSON (`annotations_train.json`, `annotations_val.json`) with 33 keypoints and, on each image, its `action`.
Needs an environment of its own: `pip install mediapipe==0.10.21 av` (it wants NumPy 1).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import av
import cv2
import mediapipe
import numpy as np

SHARES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
MIN_VISIBILITY, MIN_INSIDE, MIN_HEIGHT_PX = 0.65, 0.85, 60
MARGIN = 0.06  # of the pose's extent: keypoints lie inside of the body's outline
COCO_OF_BLAZEPOSE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


def main() -> None:
    parser = argparse.ArgumentParser(description="Label poses in action clips with BlazePose.")
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file, label, split, for_shipped_weights")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    (arguments.out / "images").mkdir(parents=True, exist_ok=True)
    with arguments.labels.open(newline="", encoding="utf-8") as file:
        rows = [
            row for row in csv.DictReader(file) if row["split"] == "val" or (row["split"] == "train" and row["for_shipped_weights"] != "no")
        ]
    documents = {split: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]} for split in ("train", "val")}
    with mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1) as pose:
        for row in rows:
            for index, image in frames_of(arguments.labels.parent / row["file"]):
                keypoints = keypoints_of(pose, image)
                if keypoints is not None:
                    name = f"{Path(row['file']).stem}_{index}.jpg"
                    cv2.imwrite(str(arguments.out / "images" / name), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
                    add(documents[row["split"]], name, image.shape[:2], row["label"], keypoints)
    for split, document in documents.items():
        (arguments.out / f"annotations_{split}.json").write_text(json.dumps(document), encoding="utf-8")
        print(split, len(rows), "clips,", len(document["annotations"]), "poses")


def frames_of(path: Path) -> list[tuple[int, np.ndarray]]:
    with av.open(str(path)) as container:
        count = sum(packet.size > 0 for packet in container.demux(video=0))
    wanted = {round(share * (count - 1)) for share in SHARES}
    with av.open(str(path)) as container:
        return [(i, frame.to_ndarray(format="rgb24")) for i, frame in enumerate(container.decode(video=0)) if i in wanted]


def keypoints_of(pose: mediapipe.solutions.pose.Pose, image: np.ndarray) -> np.ndarray | None:
    """(33, 3) x, y in pixels and visibility, or None where no whole pose is found."""
    found = pose.process(image).pose_landmarks
    if found is None:
        return None
    height, width = image.shape[:2]
    points = np.array([[mark.x * width, mark.y * height, mark.visibility] for mark in found.landmark])
    inside = ((points[:, :2] >= 0) & (points[:, :2] < (width, height))).all(1).mean()
    whole = points[:, 2].mean() >= MIN_VISIBILITY and inside >= MIN_INSIDE and np.ptp(points[:, 1]) >= MIN_HEIGHT_PX
    return points if whole else None


def add(document: dict, name: str, image_hw: tuple[int, int], action: str, points: np.ndarray) -> None:
    height, width = image_hw
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    margin = (high - low) * MARGIN
    x1, y1 = np.clip(low - margin, 0, (width, height))
    x2, y2 = np.clip(high + margin, 0, (width, height))
    image_id = len(document["images"]) + 1
    document["images"].append(
        {"id": image_id, "file_name": name, "height": height, "width": width, "source": "action_clips", "action": action}
    )
    levels = 1 + (points[list(COCO_OF_BLAZEPOSE), 2:] > 0.5)
    coco = np.hstack([points[list(COCO_OF_BLAZEPOSE), :2], levels])
    document["annotations"].append(
        {
            "id": image_id, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": float((x2 - x1) * (y2 - y1)),
            "bbox": [round(float(v), 1) for v in (x1, y1, x2 - x1, y2 - y1)],
            "keypoints": [round(float(v), 1) for v in coco.ravel()], "num_keypoints": 17,
            "keypoints33": [round(float(v), 2) for v in points.ravel()], "box_source": "teacher", "keypoint_source": "teacher",
        }
    )  # fmt: skip


if __name__ == "__main__":
    main()

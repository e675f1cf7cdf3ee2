#!/usr/bin/env python3
"""Make pictures without people, which the person detector learns to leave alone.

    python scripts/make_empty_scenes.py --scenes DATA/empty_scenes --people DATA/people --actions DATA/actions \
        --yolox yolox_nano.onnx --models human/package/models --out runs/empty

Every fourth scene of COCO is held out as it is. Training sees the others, variants of them (mirrored, blurred, moved, at night, the
strongest false alarm enlarged), pieces of the training pictures in `people` that show nobody, and three frames of clips. For the two
teachers, which must see nobody in what is new, see `scripts/label_people.py`. About fifteen minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from teachers.boxes import Annotation, find_persons
from teachers.movenet import Boxes, MultiPose
from teachers.networks import Yolox

from parsing.files import atomic
from parsing.media.sources import open_source
from parsing.types import Array

HELD_OUT = 22
FIRST_ID = 900_000_001
# Frames of clips that may be trained on: of 45 without a found person, those in which nobody could be seen.
CLIP_FRAMES = {"surv_fight_nofi062": 0, "surv_fight_nofi065": 0, "surv_fight_nofi113": 12}
VARIANT_SCORES = 0.45, 0.3  # below which both teachers must stay


@dataclass(frozen=True)
class PieceRule:
    """Which pieces of a picture are taken.

    Args:
        num_pieces: of each source, at most.
        width, height: range of the sides, as shares of the picture's.
        aspects: range of width over height.
        tries: rectangles that are drawn in a picture; the largest one without a person is taken.
        person_scores: of YOLOX and MultiPose above which a box is kept away from.
        min_area: share of the picture.
        min_contrast, min_detail: deviation of the pixels and variance of their Laplacian, so that no piece is a plain wall.
        side_px: longer side to which a piece is enlarged, by two at most.
        max_scores: what both teachers must stay below in the piece.
    """

    num_pieces: dict[str, int]
    width: tuple[float, float]
    height: tuple[float, float]
    aspects: tuple[float, float]
    tries: int
    person_scores: tuple[float, float]
    min_area: float
    min_side_px: int
    min_contrast: float
    min_detail: float
    side_px: int
    max_scores: tuple[float, float]


ALL = {"exercise": 90, "street": 90, "pennfudan": 15, "coco": 25}
LARGE = PieceRule(ALL, (0.35, 0.8), (0.35, 0.8), (0, np.inf), 30, (0.12, 0.1), 0.12, 110, 32, 150, 416, (0.2, 0.12))
# Streets are full of people: smaller pieces between them.
STREET = PieceRule({"street": 60}, (0.26, 0.8), (0.2, 0.7), (0.4, 2.5), 80, (0.06, 0.08), 0.05, 88, 35, 60, 320, (0.15, 0.1))


@dataclass
class Teachers:
    """Two detectors of persons."""

    yolox: Yolox
    multipose: MultiPose

    def __call__(self, image: Array) -> tuple[Boxes, Boxes]:
        return self.yolox(image), self.multipose(image)

    def of_file(self, path: Path) -> tuple[Boxes, Boxes]:
        return self(read(path))

    def see_nobody(self, image: Array, limits: tuple[float, float]) -> bool:
        return all(score < limit for score, limit in zip(best_scores(self(image)), limits, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make pictures without people from scenes, people's surroundings and clips.")
    parser.add_argument("--scenes", type=Path, required=True, help="folder with images/ and annotations.json")
    parser.add_argument("--people", type=Path, required=True, help="folder with images/ and annotations_train.json")
    parser.add_argument("--actions", type=Path, required=True, help="folder of clips with labels.csv")
    parser.add_argument("--yolox", type=Path, required=True, help="yolox_nano.onnx")
    parser.add_argument("--models", type=Path, required=True, help="folder with movenet-multipose .json and .bin")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    teachers = Teachers(Yolox(arguments.yolox), MultiPose(arguments.models))
    make(arguments.scenes, arguments.people, arguments.actions, arguments.out, teachers)


def make(scenes: Path, people: Path, actions: Path, out: Path, teachers: Teachers) -> None:
    (out / "images").mkdir(parents=True, exist_ok=True)
    document = json.loads((scenes / "annotations.json").read_text(encoding="utf-8"))
    seen = {image["id"]: teachers.of_file(scenes / "images" / image["file_name"]) for image in document["images"]}
    ordered = sorted(document["images"], key=lambda image: (-best_scores(seen[image["id"]])[0], image["id"]))
    shuffle = random.Random(15)
    held = held_out([image["id"] for image in ordered], shuffle)
    made: dict[str, Annotation] = {}
    draws = np.random.default_rng(0)
    for image in (image for image in ordered if image["id"] not in held):
        pixels, stem = read(scenes / "images" / image["file_name"]), Path(image["file_name"]).stem
        for kind, variant in variants(pixels, seen[image["id"]][0], teachers, draws).items():
            made[f"{stem}_{kind}.jpg"] = save(out, f"{stem}_{kind}.jpg", variant) | {"source": f"empty_{kind}", "of": image["id"]}
    for rule, order, draw in ((LARGE, shuffle, draws), (STREET, random.Random(1), np.random.default_rng(1))):
        for record, piece in pieces(people, rule, teachers, order, draw):
            name = f"piece_{record['file_name']}"
            made[name] = save(out, name, piece) | {"source": f"piece_{record['source']}"}
    for stem, number in CLIP_FRAMES.items():
        frame = open_source(next(actions.rglob(f"{stem}.mp4"))).at([number])[number].image
        made[f"actions_{stem}_{number}.jpg"] = save(out, f"actions_{stem}_{number}.jpg", frame) | {"source": "clip"}
    for image in ordered:
        link(scenes / "images" / image["file_name"], out / "images" / image["file_name"])
    facts = [image | {"source": "empty", "teachers": [round(score, 2) for score in best_scores(seen[image["id"]])]} for image in ordered]
    new = [{"id": FIRST_ID + i, **made[name]} for i, name in enumerate(sorted(made))]
    write(out, document, "train", [image for image in facts if image["id"] not in held] + new)
    write(out, document, "val", [image for image in facts if image["id"] in held])


def held_out(ids: list[int], shuffle: random.Random) -> set[int]:
    """One of every four, the worst false alarms first, so that both sides have as many of each strength; then at random."""
    held = {shuffle.choice(ids[i : i + 4]) for i in range(0, len(ids), 4)}
    rest = [i for i in ids if i not in held]
    while len(held) < HELD_OUT:
        held.add(rest.pop(shuffle.randrange(len(rest))))
    return held


def variants(image: Array, found: Boxes, teachers: Teachers, draws: np.random.Generator) -> dict[str, Array]:
    """One or two of mirrored, blurred, dark and moved, if the teachers see nobody; and the strongest false alarm enlarged."""
    mirrored = image[:, ::-1]
    kinds = {"mirror": mirrored, "blur": cv2.GaussianBlur(mirrored, (0, 0), draws.uniform(1.5, 4))}
    kinds |= {"night": at_night(image, draws), "motion": moved(image, draws)}
    names = list(kinds)
    picked = [names[draws.integers(0, 4)], names[draws.integers(1, 4)]]
    kept = {kind: np.ascontiguousarray(kinds[kind]) for kind in sorted(set(picked))}
    kept = {kind: variant for kind, variant in kept.items() if teachers.see_nobody(variant, VARIANT_SCORES)}
    if found.scores.max(initial=0) > 0.1:
        cut = around(image, found.xyxy[found.scores.argmax()])
        if min(cut.shape[:2]) > 48 and max(cut.shape[:2]) < 0.8 * max(image.shape[:2]):
            kept["cut"] = enlarged(cut, 416, 3)
    return kept


def at_night(image: Array, draws: np.random.Generator) -> Array:
    """Dark, but for what is bright, which glows."""
    dark = (image / 255.0) ** draws.uniform(1.8, 2.8) * 255 + np.where(image.min(2, keepdims=True) > 210, 60, 0)
    return cv2.GaussianBlur(np.clip(dark, 0, 255).astype(np.uint8), (0, 0), draws.uniform(0.6, 1.6))


def moved(image: Array, draws: np.random.Generator) -> Array:
    """Blurred along a line, about from left to right."""
    length = int(draws.integers(9, 22))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1 / length
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), draws.uniform(-30, 30), 1)
    return cv2.filter2D(image, -1, cv2.warpAffine(line, turn, (length, length)))


def around(image: Array, box: Array) -> Array:
    side, centre = max(96, 2.6 * max(box[2:] - box[:2])), (box[:2] + box[2:]) / 2
    x1, y1 = np.maximum(centre - side / 2, 0).astype(int)
    x2, y2 = np.minimum(centre + side / 2, image.shape[1::-1]).astype(int)
    return image[y1:y2, x1:x2]


def pieces(
    people: Path, rule: PieceRule, teachers: Teachers, order: random.Random, draws: np.random.Generator
) -> Iterator[tuple[Annotation, Array]]:
    """Records of pictures and a piece of each in which nobody is."""
    document = json.loads((people / "annotations_train.json").read_text(encoding="utf-8"))
    old = defaultdict(list)
    for annotation in document["annotations"]:
        old[annotation["image_id"]].append(annotation)
    records = [image for image in document["images"] if image["source"] in rule.num_pieces]
    order.shuffle(records)
    taken: Counter[str] = Counter()
    for record in records:
        if taken[record["source"]] >= rule.num_pieces[record["source"]]:
            continue
        path = people / "images" / record["file_name"]
        found = teachers.of_file(path)
        persons = [person.box for person in find_persons(record, old[record["id"]], *found)]
        if persons:
            weak = [boxes.xyxy[boxes.scores > score] for boxes, score in zip(found, rule.person_scores, strict=True)]
            piece = piece_of(path, np.concatenate([persons, *weak]), (record["width"], record["height"]), rule, draws)
            if piece is not None and teachers.see_nobody(piece, rule.max_scores):
                taken[record["source"]] += 1
                yield record, piece


def piece_of(path: Path, persons: Array, size: tuple[int, int], rule: PieceRule, draws: np.random.Generator) -> Array | None:
    """The piece of a picture, enlarged; None where it has no room beside the persons, or is plain."""
    rectangle = largest_free(persons, size, rule, draws)
    if rectangle is None or rectangle[2] * rectangle[3] < rule.min_area * size[0] * size[1] or min(rectangle[2:]) < rule.min_side_px:
        return None
    x, y, width, height = map(int, rectangle)
    cut = read(path)[y : y + height, x : x + width]
    if cut.std() < rule.min_contrast or cv2.Laplacian(cut, cv2.CV_64F).var() < rule.min_detail:
        return None
    return enlarged(cut, rule.side_px, 2)


def largest_free(persons: Array, size: tuple[int, int], rule: PieceRule, draws: np.random.Generator) -> tuple[float, ...] | None:
    """x, y, width, height in pixels of the largest drawn rectangle that keeps four pixels off all persons."""
    best = None
    for _ in range(rule.tries):
        width, height = draws.uniform(*rule.width) * size[0], draws.uniform(*rule.height) * size[1]
        x, y = draws.uniform(0, size[0] - width), draws.uniform(0, size[1] - height)
        low = np.maximum(persons[:, :2] - 4, (x, y))
        high = np.minimum(persons[:, 2:] + 4, (x + width, y + height))
        is_free = rule.aspects[0] < width / height < rule.aspects[1] and (high <= low).any(1).all()
        if is_free and (best is None or width * height > best[2] * best[3]):
            best = x, y, width, height
    return best


def enlarged(cut: Array, side_px: int, at_most: float) -> Array:
    scale = min(side_px / max(cut.shape[:2]), at_most)
    return cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def best_scores(found: tuple[Boxes, Boxes]) -> tuple[float, float]:
    first, second = (float(boxes.scores.max(initial=0)) for boxes in found)
    return first, second


def read(path: Path) -> Array:
    return cv2.imread(str(path))[:, :, ::-1]


def save(out: Path, name: str, image: Array) -> Annotation:
    cv2.imwrite(str(out / "images" / name), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return {"file_name": name, "width": image.shape[1], "height": image.shape[0]}


def link(path: Path, place: Path) -> None:
    if not place.exists():
        place.symlink_to(path.resolve())


def write(out: Path, document: Annotation, split: str, images: list[Annotation]) -> None:
    with atomic(out / f"annotations_{split}.json") as file:
        file.write_text(json.dumps(document | {"images": images, "annotations": []}), encoding="utf-8")
    print(split, len(images), dict(Counter(image["source"] for image in images)))


if __name__ == "__main__":
    main()

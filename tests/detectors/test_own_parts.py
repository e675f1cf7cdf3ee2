"""Part detectors of parts that are not the default vocabulary's: from COCO categories to the stage of the pipeline."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from detectors import PART_DETECTORS
from detectors.networks import build_network, parse_architecture
from detectors.parts import NetworkPartDetector
from detectors.views import PartViews
from parsing import PART_NAMES, Detections, Frame, InputError
from parsing.configs import resolve
from parsing.datasets import Problems, read_records
from parsing.datasets.records import true_parts
from parsing.vocabulary import flip_permutation
from pipelines import evaluate, train
from tests.builders import TINY_DETECTOR

OWN = ("helmet", "left_glove", "right_glove")
BOXES = {"helmet": (50, 10, 20, 16), "left_glove": (80, 50, 14, 14), "right_glove": (22, 50, 14, 14)}  # x, y, width, height
COLOURS = {"helmet": (0, 0, 255), "left_glove": (0, 255, 0), "right_glove": (255, 0, 0)}


@pytest.fixture
def workers(tmp_path: Path) -> Path:
    """Two pictures of one person with a helmet and two gloves, as `train` and `val`."""
    (tmp_path / "images").mkdir()
    categories = [{"id": i, "name": name} for i, name in enumerate(("person", *OWN), 1)]
    for split in ("train", "val"):
        images, annotations = [], []
        for number in (1, 2):
            picture = np.full((120, 120, 3), 60 * number, np.uint8)
            for name, (x, y, width, height) in BOXES.items():
                picture[y : y + height, x : x + width] = COLOURS[name]
            cv2.imwrite(str(tmp_path / "images" / f"{split}{number}.png"), picture)
            images.append({"id": number, "file_name": f"{split}{number}.png", "width": 120, "height": 120})
            person = number * 10
            annotations.append({"id": person, "image_id": number, "category_id": 1, "bbox": [10, 5, 100, 110]})
            for i, name in enumerate(OWN, 1):
                row = {"id": person + i, "image_id": number, "category_id": i + 1, "bbox": list(BOXES[name]), "person_id": person}
                annotations.append(row)
        document = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / f"annotations_{split}.json").write_text(json.dumps(document))
    return tmp_path


def test_left_and_right_change_places_where_both_are_named() -> None:
    assert flip_permutation(OWN).tolist() == [0, 2, 1]
    assert flip_permutation(("left_glove", "helmet")).tolist() == [0, 1]


def test_parts_of_a_person_are_in_the_order_of_the_names(workers: Path) -> None:
    records = read_records("coco", workers / "annotations_train.json", workers / "images", Problems("fail"), "train")
    person = records[0].persons[0]
    boxes, known, ignored = true_parts(person, ("right_glove", "vest", "helmet"))
    assert boxes.tolist() == [[22, 50, 36, 64], [0, 0, 0, 0], [50, 10, 70, 26]]
    assert known.tolist() == [True, False, True]
    assert not ignored.any()
    assert person.has_parts(OWN)
    assert not person.has_parts(PART_NAMES)


def test_a_mirrored_crop_keeps_left_left(workers: Path) -> None:
    """In a mirrored crop the blue right glove is what a left glove looks like, so its box is labelled left."""
    records = read_records("coco", workers / "annotations_train.json", workers / "images", Problems("fail"), "train")
    views = PartViews(records[:1], OWN, flip_permutation(OWN), 96, context=1.2, rotation_deg=0, heatmaps=False)
    orders = set()
    for seed in range(12):
        view = views[0, seed]
        centre = {int(label): float(box[0] + box[2]) / 2 for box, label in zip(view.boxes, view.labels, strict=True)}
        x0, y0, x1, y1 = view.boxes[list(view.labels).index(2)].round().astype(int)
        red, green, blue = view.image[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].reshape(-1, 3).mean(0)
        assert centre[2] > centre[3]  # the left hand is at the right of a person who faces the camera, mirrored or not
        orders.add("plain" if green > max(red, blue) else "mirrored" if blue > max(red, green) else "?")
    assert orders == {"plain", "mirrored"}


def test_own_parts_from_coco_to_the_stage(workers: Path, tmp_path: Path) -> None:
    architecture = {**TINY_DETECTOR, "class_names": list(OWN), "levels": [1, 2], "anchor_sizes": [[16], [32], [64]]}
    document = {
        "name": "cascade_rcnn",
        "target": "parts",
        "architecture": architecture,
        "pretrained": "none",
        "data": {"root": str(workers), "sampling": "repeat_factor"},
        "fit": {"epochs": 2, "batch_size": 2, "lr": 0.001},
    }
    config, run, report = tmp_path / "c.yaml", tmp_path / "run", tmp_path / "report.json"
    config.write_text(yaml.safe_dump(document))
    assert train.main(train.build_parser().parse_args(["part_detector", "--config", str(config), "--out", str(run), "--quiet"])) == 0
    weights = run / "weights.safetensors"
    base = ["part_detector", "--config", str(config), "--quiet", "--out", str(report), "--weights", str(weights)]
    assert evaluate.main(evaluate.build_parser().parse_args(base)) == 0
    assert json.loads(report.read_text())["all"]["num_images"] == 2
    component = {"name": "cascade_rcnn", "weights": str(weights), "score_threshold": 0.0, "flip": True}
    stage = resolve(PART_DETECTORS, component, "part_detector").build("cpu")
    frame = Frame("f", 0, 0.0, np.zeros((120, 120, 3), np.uint8))
    parts = stage([frame], [Detections(np.array([[10, 5, 110, 115]], np.float32), np.ones(1), np.zeros(1))])[0]
    assert stage.part_names == OWN
    assert parts.xyxy.shape == (1, 3, 4)


def test_pairs_of_other_languages_are_named_in_the_architecture() -> None:
    names = ("gant_droit", "casque", "gant_gauche")
    fields: dict[str, Any] = TINY_DETECTOR | {"class_names": list(names)}
    architecture = parse_architecture("cascade_rcnn", fields | {"pairs": [["gant_gauche", "gant_droit"]]}, "w")
    assert architecture.swap.tolist() == [2, 1, 0]
    assert parse_architecture("cascade_rcnn", asdict(architecture), "w") == architecture
    assert parse_architecture("cascade_rcnn", fields, "w").swap.tolist() == [0, 1, 2]
    detector = NetworkPartDetector(build_network("cascade_rcnn", architecture), "cpu", np.zeros(3, np.float32), 1)  # type: ignore[arg-type]
    assert detector.swap.tolist() == [2, 1, 0]
    with pytest.raises(InputError, match="pairs: 'gant' is not among the names"):
        parse_architecture("cascade_rcnn", fields | {"pairs": [["gant", "casque"]]}, "w")

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from builders import skeleton

from detectors.data import DetectionDataConfig
from detectors.labelling.pseudo_labels import Additions, PseudoLabelConfig, add_pseudo_labels
from detectors.parts import PartDetectorConfig
from detectors.views import PartViews
from parsing import PART_NAMES, Detections, InputError, Parts
from parsing.configs import parse_config
from parsing.datasets import read_records
from parsing.datasets.records import ImageRecord, ObjectRecord, PartRecord, true_parts
from parsing.datasets.writing import write_coco
from parsing.types import Frame
from parsing.vocabulary import flip_permutation
from pipelines.pseudo_label import build_parser, main

FEET = [PART_NAMES.index("left_foot"), PART_NAMES.index("right_foot")]
HEAD = PART_NAMES.index("head")


class Teacher:
    """Finds every part in the middle of the person, with given scores."""

    def __init__(self, scores: dict[int, float], boxes: dict[int, Any] | None = None, names: tuple[str, ...] = PART_NAMES) -> None:
        self.scores, self.boxes, self.part_names, self.swap = scores, boxes or {}, names, flip_permutation(names)

    def __call__(self, frames: list[Frame], persons: list[Detections]) -> list[Parts]:
        n = len(persons[0])
        boxes = np.tile(np.array([90, 100, 110, 120], np.float32), (n, len(self.part_names), 1))
        for part, box in self.boxes.items():
            boxes[:, part] = box
        scores = np.tile([self.scores.get(i, 0.0) for i in range(len(self.part_names))], (n, 1))
        return [Parts(boxes * (scores > 0)[..., None], scores, scores > 0) for _ in frames]


def settings(**changed: Any) -> PseudoLabelConfig:
    return PseudoLabelConfig(PartDetectorConfig("gfl"), DetectionDataConfig("root"), **changed)


def without_feet(people: Path) -> list[ImageRecord]:
    records = read_records("coco", people / "annotations_train.json", people / "images")
    for record in records:
        for person in record.persons:
            assert person.keypoints17 is not None
            person.keypoints17[[15, 16], 2] = 0  # ankles: no feet, no legs
    return records


def test_missing_parts_become_positives_or_ignored_and_truth_stays(people: Path) -> None:
    records, additions = without_feet(people), Additions()
    teacher = Teacher({FEET[0]: 0.41, FEET[1]: 0.4, HEAD: 0.99, PART_NAMES.index("left_leg"): 0.1})
    labelled = list(add_pseudo_labels(records, teacher, settings(), additions))  # type: ignore[arg-type]
    parts = {part.name: part for part in labelled[0].persons[0].parts}
    assert {name: part.ignored for name, part in parts.items()} == {"left_foot": False, "right_foot": True}
    assert parts["left_foot"].source == "pseudo"
    assert parts["left_foot"].score == pytest.approx(0.41)
    before, after = true_parts(records[0].persons[0], PART_NAMES), true_parts(labelled[0].persons[0], PART_NAMES)
    np.testing.assert_array_equal(before[0][HEAD], after[0][HEAD])
    assert additions.positive[PART_NAMES[FEET[0]]] == len(records)
    assert additions.ignored[PART_NAMES[FEET[1]]] == len(records)
    assert additions.positive["head"] == 0
    again = list(add_pseudo_labels(labelled, Teacher({}), settings(), Additions()))  # type: ignore[arg-type]
    assert again[0].persons[0].parts == ()  # a new round starts from the truth


def test_a_part_that_annotators_gave_to_the_other_side_is_not_added(people: Path) -> None:
    records = read_records("coco", people / "annotations_train.json", people / "images")
    hidden = skeleton()
    hidden[15, 2] = 0
    assert records[0].persons[0].keypoints17 is not None
    records[0].persons[0].keypoints17[:] = hidden
    right_foot = true_parts(records[0].persons[0], PART_NAMES)[0][FEET[1]]
    teacher = Teacher({FEET[0]: 0.9}, {FEET[0]: right_foot})
    (labelled,) = add_pseudo_labels(records[:1], teacher, settings(), Additions())  # type: ignore[arg-type]
    assert labelled.persons[0].parts == ()


def test_parts_of_the_teacher_s_own_names(tmp_path: Path) -> None:
    """The left glove is drawn, so a right glove in its place is not added; the cap and nothing else is new."""
    box = np.array([80, 90, 120, 130], np.float32)
    person = ObjectRecord(np.array([0, 0, 200, 200], np.float32), parts=(PartRecord("left_glove", box),))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((220, 200, 3), np.uint8))
    record, additions = ImageRecord(tmp_path / "a.png", (220, 200), (person,), "made"), Additions()
    teacher = Teacher({0: 0.9, 1: 0.9, 2: 0.9}, {1: box}, ("left_glove", "right_glove", "cap"))
    (labelled,) = add_pseudo_labels([record], teacher, settings(), additions)  # type: ignore[arg-type]
    assert [part.name for part in labelled.persons[0].parts] == ["left_glove", "cap"]
    assert [line.split()[0] for line in additions.lines()] == ["part", "left_glove", "right_glove", "cap", "all"]
    write_coco([labelled], tmp_path / "a.json", tmp_path, {})
    (again,) = read_records("coco", tmp_path / "a.json", tmp_path)
    assert [(part.name, part.source) for part in again.persons[0].parts] == [("left_glove", "human"), ("cap", "pseudo")]


def test_views_train_on_positives_and_ignore_the_rest(people: Path) -> None:
    teacher = Teacher({FEET[0]: 0.9, FEET[1]: 0.3})
    labelled = list(add_pseudo_labels(without_feet(people), teacher, settings(), Additions()))  # type: ignore[arg-type]
    view = PartViews(labelled, PART_NAMES, teacher.swap, 96, 1.2, 0.0, heatmaps=False)[(0, 3)]
    assert {FEET[0] + 1, FEET[1] + 1} & set(view.labels.tolist())
    assert len(view.ignored) >= 1


def test_thresholds_must_be_in_order() -> None:
    with pytest.raises(InputError, match=r"pseudo\.yaml: .*ignore: 0\.5 is above positive \(0\.4\)"):
        parse_config(PseudoLabelConfig, {"teacher": {"name": "gfl"}, "data": {"root": "x"}, "ignore": 0.5}, "pseudo.yaml")


def test_command_writes_a_file_that_can_be_trained_on(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "pseudo.yaml"
    config.write_text(f"teacher: {{name: cascade_rcnn, weights: default/part_detector}}\ndata: {{root: {people}}}\n")
    out = tmp_path / "labelled.json"
    arguments = build_parser().parse_args(["--config", str(config), "--out", str(out), "--set", "positive=0.05", "--set", "ignore=0.01"])
    assert main(arguments) == 0
    assert "positive" in capsys.readouterr().out
    document = json.loads(out.read_text())
    assert document["info"]["positive"] == 0.05
    records = read_records("coco", out, people / "images")
    assert len(records) == 8
    rows = [row for row in document["annotations"] if row.get("source") == "pseudo"]
    assert all({"score", "ignore", "person_id"} <= row.keys() for row in rows)


def test_persons_without_any_annotated_part_are_left_alone_unless_asked(people: Path) -> None:
    from dataclasses import replace

    (record, *_) = read_records("coco", people / "annotations_train.json", people / "images")
    bare = replace(record, objects=tuple(replace(person, keypoints17=None) for person in record.objects))
    teacher = Teacher({HEAD: 0.9})
    (left,) = add_pseudo_labels([bare], teacher, settings(), Additions())  # type: ignore[arg-type]
    (labelled,) = add_pseudo_labels([bare], teacher, settings(persons="all"), Additions())  # type: ignore[arg-type]
    assert left.persons[0].parts == ()
    assert [part.name for part in labelled.persons[0].parts] == ["head"]


def test_the_student_is_the_teacher_of_the_next_round(people: Path, tmp_path: Path) -> None:
    config, student, out = tmp_path / "pseudo.yaml", tmp_path / "student.yaml", tmp_path / "labelled.json"
    config.write_text(f"teacher: {{name: cascade_rcnn, weights: default/part_detector}}\ndata: {{root: {people}}}\n")
    architecture = {"class_names": list(PART_NAMES), "backbone": "test_efficientnet", "levels": [1, 2], "fpn_channels": 8, "input_px": 64}
    fit = {"epochs": 1, "batch_size": 2, "lr": 0.01}
    settings = {
        "name": "gfl",
        "target": "parts",
        "architecture": architecture,
        "data": {"root": str(people)},
        "fit": fit,
        "pretrained": "none",
    }
    student.write_text(yaml.safe_dump(settings))
    arguments = ["--config", str(config), "--out", str(out), "--rounds", "2", "--student", str(student), "--quiet"]
    assert main(build_parser().parse_args(arguments)) == 0
    weights = tmp_path / "labelled_student1" / "best.safetensors"
    assert json.loads(out.read_text())["info"]["teacher"].items() >= {"name": "gfl", "weights": str(weights)}.items()
    with pytest.raises(SystemExit):
        main(build_parser().parse_args(["--config", str(config), "--out", str(out), "--rounds", "2"]))

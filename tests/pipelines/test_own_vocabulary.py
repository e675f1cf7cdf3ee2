"""Five parts and three states that no code knows, from COCO files over trainings and a parse to exports and figures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import yaml
from builders import TINY_DETECTOR, write_video

from parsing.document import VideoParse, json_schema, read_parse
from parsing.errors import InputError
from parsing.media.video import Video
from parsing.networks.weights import read_header
from parsing.types import Array, Detections, FrameParse, Parts, PartStates, VideoFacts
from parsing.vocabulary import Vocabulary
from parsing.writing import write_parse
from pipelines import evaluate, export, run, train

PARTS = ("helmet", "torso", "left_glove", "right_glove", "racket")
STATES = ("open", "fist", "swung")
ROWS = ((), (), ("open", "fist"), ("open", "fist"), ("swung",))
VOCABULARY = Vocabulary("players", PARTS, STATES, ROWS, ())
SIDE = 128
COLOURS = {"helmet": (40, 40, 220), "torso": (60, 160, 60), "left_glove": (230, 200, 30), "right_glove": (200, 60, 200)}
Picture = tuple[Array, dict[str, tuple[int, int, int, int]], dict[str, list[str]]]


def player(number: int) -> Picture:
    """A picture (128, 128, 3), the parts' boxes (x, y, width, height), and the states that hold; gloves that are fists are dark."""
    fists = {"left_glove": number % 2 == 0, "right_glove": number % 3 == 0}
    swung, shift = number % 4 < 2, number % 5
    boxes = {"helmet": (52, 10, 24, 20), "torso": (46, 34, 36, 50), "left_glove": (90, 50, 16, 16), "right_glove": (22, 50, 16, 16)}
    boxes = {name: (x + shift, y, width, height) for name, (x, y, width, height) in boxes.items()}
    boxes["racket"] = (8 + shift, 14, 12, 34) if swung else (4 + shift, 70, 34, 12)
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    for name, (x, y, width, height) in boxes.items():
        colour = np.array(COLOURS.get(name, (240, 240, 240)))
        picture[y : y + height, x : x + width] = colour // (3 if fists.get(name) else 1)
    states = {name: ["fist" if closed else "open"] for name, closed in fists.items()}
    return picture, boxes, states | {"racket": ["swung"] if swung else []}


def write_players(root: Path) -> Path:
    """Pictures as `train` and `val`, and the frames of `match.mp4` as a third file."""
    categories = [{"id": 1, "name": "person"}]
    categories += [
        {"id": i, "name": name} | ({"states": list(row)} if row else {}) for i, (name, row) in enumerate(zip(PARTS, ROWS, strict=True), 2)
    ]
    splits = {"train": [f"t{i}.png" for i in range(12)], "val": [f"v{i}.png" for i in range(6)]}
    splits["match"] = [f"match/img_{i + 1:05d}.png" for i in range(6)]
    (root / "images/match").mkdir(parents=True)
    for split, names in splits.items():
        images, rows = [], []
        for number, name in enumerate(names):
            picture, boxes, states = player(number)
            cv2.imwrite(str(root / "images" / name), picture[:, :, ::-1])
            images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
            person = len(rows) + 1
            rows.append({"id": person, "image_id": number, "category_id": 1, "bbox": [2, 4, 120, 90]})
            for part, box in boxes.items():
                row = {"id": len(rows) + 1, "image_id": number, "category_id": PARTS.index(part) + 2, "bbox": list(box)}
                rows.append(row | {"person_id": person} | ({"states": states[part]} if part in states else {}))
        document = {"images": images, "annotations": rows, "categories": categories}
        (root / f"annotations_{split}.json").write_text(json.dumps(document))
    write_video(root / "match.mp4", [player(i)[0] for i in range(6)])
    return root


def write_truth(path: Path) -> Path:
    """The true persons, parts and states of `match.mp4` as a parse."""
    frames = []
    for index in range(6):
        _, boxes, states = player(index)
        xyxy = np.array([[(x, y, x + w, y + h) for x, y, w, h in (boxes[name] for name in PARTS)]], np.float32)
        scores = np.array([[[state in states.get(name, ()) for state in STATES] for name in PARTS]], np.float32)
        persons = Detections(np.array([[2, 4, 122, 94]], np.float32), np.ones(1), np.zeros(1), np.ones(1, int))
        parts = Parts(xyxy, np.ones((1, 5)), np.ones((1, 5), bool))
        frames.append(FrameParse(index, index / 10, persons, parts, PartStates(scores)))
    facts = VideoFacts("match.mp4", SIDE, SIDE, 0, 10.0, 0.6, 6, 6, 0)
    write_parse(VideoParse(facts, VOCABULARY, (), tuple(frames), (), True), path)
    return path


def call(module: Any, *arguments: object) -> None:
    assert module.main(module.build_parser().parse_args([*map(str, arguments), "--quiet"])) == 0


def written(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def detector_architecture(parts: Sequence[str]) -> dict[str, Any]:
    return TINY_DETECTOR | {"class_names": list(parts), "levels": [1, 2], "anchor_sizes": [[8], [16], [32]]}


def detector_settings(data: dict[str, str]) -> dict[str, Any]:
    return {
        "name": "cascade_rcnn",
        "target": "parts",
        "architecture": detector_architecture(PARTS),
        "pretrained": "none",
        "data": data,
        "fit": {"epochs": 2, "batch_size": 4, "lr": 0.002},
        "eval_every": 2,
    }


def states_settings(data: dict[str, str]) -> dict[str, Any]:
    return {
        "name": "part_state_net",
        "architecture": {"backbone": "test_efficientnet", "part_level": 1, "person_level": 2, "input_px": 64, "dim": 32, "heads": 2},
        "data": {"images": data | {"vocabulary": "players"}, "rotation_deg": 0.0},
        "pretrained": "none",
        "fit": {"epochs": 30, "batch_size": 6, "lr": 0.01},
        "eval_every": 30,
    }


def write_csv(root: Path) -> None:
    """The training files of `write_players` as CSV."""
    for split in ("train", "val"):
        document = json.loads((root / f"annotations_{split}.json").read_text())
        names = {row["id"]: row["name"] for row in document["categories"]}
        files = {row["id"]: row["file_name"] for row in document["images"]}
        lines = ["image,person_box,part,box,states"]
        for row in document["annotations"]:
            if "person_id" in row:
                x, y, width, height = row["bbox"]
                states = ";".join(row.get("states", []))
                lines.append(f"{files[row['image_id']]},2 4 122 94,{names[row['category_id']]},{x} {y} {x + width} {y + height},{states}")
        (root / f"{split}.csv").write_text("\n".join(lines))


def test_the_same_from_csv(tmp_path: Path) -> None:
    """Both trainings read a CSV; what they know of parts and states is what the COCO files say, in alphabetical order."""
    write_csv(root := write_players(tmp_path / "players"))
    files = {"root": str(root), "format": "parts_csv", "train": "train.csv", "val": "val.csv"}
    detector = detector_settings(files) | {"architecture": detector_architecture(sorted(PARTS))}
    for stage, settings in (("part_detector", detector), ("part_states", states_settings(files))):
        config = written(tmp_path / f"{stage}.yaml", settings)
        call(train, stage, "--config", config, "--out", tmp_path / stage)
    parts = read_header(str(tmp_path / "part_detector/weights.safetensors"), "cascade_rcnn")
    states = read_header(str(tmp_path / "part_states/weights.safetensors"), "part_state_net")
    assert set(parts.metrics["all"]["AP_per_class"]) == set(PARTS)
    assert states.metrics["all"]["mean_ap"] == 1.0
    rows = tuple(tuple(sorted(row)) for _, row in sorted(zip(PARTS, ROWS, strict=True)))
    found = Vocabulary.from_json(states.labels)
    assert found == Vocabulary("players", tuple(sorted(PARTS)), ("fist", "open", "swung"), rows, ())
    assert tuple(parts.architecture["class_names"]) == found.parts


def test_own_parts_and_states_from_annotations_to_figures(tmp_path: Path) -> None:
    root, truth = write_players(tmp_path / "players"), write_truth(tmp_path / "truth.json")
    detector, states = detector_settings({"root": str(root)}), states_settings({"root": str(root)})
    weights = {}
    for stage, settings in (("part_detector", detector), ("part_states", states)):
        config, weights[stage] = written(tmp_path / f"{stage}.yaml", settings), tmp_path / stage / "weights.safetensors"
        call(train, stage, "--config", config, "--out", tmp_path / stage)
        call(evaluate, stage, "--config", config, "--weights", weights[stage], "--out", tmp_path / f"{stage}.json")
    assert read_header(str(weights["part_detector"]), "cascade_rcnn").architecture["pairs"] == [["left_glove", "right_glove"]]
    assert Vocabulary.from_json(read_header(str(weights["part_states"]), "part_state_net").labels) == VOCABULARY
    assert set(json.loads((tmp_path / "part_detector.json").read_text())["all"]["AP_per_class"]) == set(PARTS)
    figures = json.loads((tmp_path / "part_states.json").read_text())["all"]
    assert set(figures["per_state"]) == {f"{glove}_glove/{state}" for glove in ("left", "right") for state in ("open", "fist")} | {
        "racket/swung"
    }
    assert figures["mean_ap"] == 1.0
    component = yaml.safe_dump({"name": "part_state_net", "weights": str(weights["part_states"]), "flip": True}, default_flow_style=True)
    states_config = tmp_path / "part_states.yaml"
    call(evaluate, "part_states", "--config", states_config, "--component", component, "--out", tmp_path / "flipped.json")
    assert json.loads((tmp_path / "flipped.json").read_text())["all"]["per_state"].keys() == figures["per_state"].keys()

    recorded = {"name": "replay", "recordings": str(truth)}
    pipeline = {
        "person_detector": recorded,
        "tracker": {"name": "bytetrack", "new_score": 0.0, "high_score": 0.0},
        "part_detector": {"name": "cascade_rcnn", "weights": str(weights["part_detector"]), "score_threshold": 0.0, "flip": True},
        "part_states": {"name": "part_state_net", "weights": str(weights["part_states"]), "flip": True},
        "every": 2,
    }
    config = written(tmp_path / "pipeline.yaml", pipeline)
    call(run, root / "match.mp4", "--config", config, "--out", tmp_path / "found.json", "--save-video", "--device", "cpu")
    document = json.loads((tmp_path / "found.json").read_text())
    jsonschema.validate(document, json_schema())
    assert document["vocabulary"]["pairs"] == [["left_glove", "right_glove"]]
    parse = read_parse(tmp_path / "found.json")
    assert parse.vocabulary == VOCABULARY
    assert [len(frame.persons) for frame in parse.frames] == [1] * 6
    assert not any(frame.states.scores[:, ~VOCABULARY.allowed].any() for frame in parse.frames)
    assert Video(tmp_path / "found.parsed.mp4").facts.frames_declared == 6

    # With the true parts, every frame a key frame, the figures are exact, whichever way they go.
    exact = written(tmp_path / "exact.yaml", pipeline | {"part_detector": recorded, "every": 1})
    call(run, root / "match.mp4", "--config", exact, "--out", tmp_path / "exact.json", "--device", "cpu")
    told = [frame.states.scores > 0.5 for frame in read_parse(tmp_path / "exact.json").frames]
    assert np.array_equal(told, [frame.states.scores > 0.5 for frame in read_parse(truth).frames])
    annotations = root / "annotations_match.json"
    call(export, "coco", tmp_path / "exact.json", "--truth", annotations, "--images", root / "images", "--out", tmp_path / "results.json")
    found = {}
    for name, options in (("exact.json", []), ("results.json", ["--parts", *PARTS])):
        out = tmp_path / f"figures_of_{Path(name).stem}"
        call(evaluate, "detections", tmp_path / name, "--truth", annotations, "--images", root / "images", "--out", out, *options)
        found[name] = json.loads((out / "report.json").read_text())["all"]
    assert found["exact.json"] == found["results.json"]
    assert found["exact.json"]["AP50"] == 1.0
    assert set(found["exact.json"]["AP_per_class"]) == {"person", *PARTS}
    with pytest.raises(InputError, match=r"match\.mp4: the parts helmet, torso, .*; Kinetics-TPS expects head, hip"):
        call(export, "kinetics-tps", tmp_path / "exact.json", "--out", tmp_path / "submission.zip")
    assert not (tmp_path / "submission.zip").exists()

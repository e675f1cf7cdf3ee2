"""`inspect_data` and `evaluate detections` on files."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import VOCABULARY
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectors.evaluation import Item
from detectors.sampling import item_weights
from parsing import Detections, FrameParse, InputError, Parts, PartStates
from parsing.datasets import default_images, read_records
from parsing.document import VideoParse
from parsing.measures.boxes import BoxTruth
from parsing.types import VideoFacts
from parsing.writing import write_parse
from pipelines import evaluate, export, inspect_data
from pipelines.benchmarks.detections.score import compare, confusion_matrix, truth_of

SILENT = ["--quiet"]


def run_inspect(*arguments: object) -> int:
    return inspect_data.main(inspect_data.build_parser().parse_args([*map(str, arguments), *SILENT]))


def test_inspection_counts_and_draws(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert run_inspect(people / "annotations_train.json", "--sheet", sheet) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "images    8, without any object 0" in lines
    assert "class     person: 8" in lines
    assert "part      head: 8" in lines
    assert "problems  0" in lines
    picture = cv2.imread(str(sheet))
    assert picture.shape == (2 * 224, 6 * 224, 3)
    assert ((picture == (60, 200, 60)).all(2)).sum() > 500  # boxes of persons


def test_inspection_lists_every_problem(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "copy"
    shutil.copytree(people, root)
    (root / "images" / "0.png").unlink()
    (root / "images" / "1.png").write_text("no image")
    cv2.imwrite(str(root / "images" / "2.png"), np.zeros((10, 10, 3), np.uint8))
    document = json.loads((root / "annotations_train.json").read_text())
    document["annotations"][4]["bbox"] = [0, 0, -3, 5]
    (root / "annotations_train.json").write_text(json.dumps(document))
    assert run_inspect(root / "annotations_train.json") == 1
    text = capsys.readouterr().out
    assert "problems  4" in text
    for what in (
        "0.png: image 1: image not found",
        "1.png: not a readable image",
        "10 x 10 px, annotations say 200 x 220",
        "no area",
    ):
        assert what in text
    with pytest.raises(InputError, match=r"image 2: .*not a readable image"):
        run_inspect(root / "annotations_train.json", "--on-error", "fail")
    assert default_images(root / "annotations_train.json") == root / "images"


def as_parses(people: Path, folder: Path) -> Path:
    """The truth as parses, one for each image: a perfect detector."""
    folder.mkdir()
    for record in read_records("coco", people / "annotations_val.json", people / "images"):
        truth = truth_of(record, VOCABULARY.parts)
        n = int((truth.class_ids == 0).sum())
        boxes, visible = np.zeros((n, 10, 4), np.float32), np.zeros((n, 10), bool)
        boxes[0, truth.class_ids[1:] - 1], visible[0, truth.class_ids[1:] - 1] = truth.xyxy[1:], True
        frame = FrameParse(
            0,
            0.0,
            Detections(truth.xyxy[:1], np.ones(1), np.zeros(1)),
            Parts(boxes, visible * 0.9, visible),
            PartStates.empty(1, 10, len(VOCABULARY.states)),
        )
        facts = VideoFacts(record.path.name, 200, 220, 0, 1.0, 1.0, 1, 1, 0)
        write_parse(VideoParse(facts, VOCABULARY, (), (frame,), (), True), folder / f"{record.path.name}.json")
    return folder


def run_evaluate(found: Path, people: Path, out: Path) -> dict[str, dict[str, float]]:
    arguments = ["detections", str(found), "--truth", str(people / "annotations_val.json"), "--out", str(out), *SILENT]
    assert evaluate.main(evaluate.build_parser().parse_args(arguments)) == 0
    return json.loads((out / "report.json").read_text())  # type: ignore[no-any-return]


def test_parses_and_coco_results_are_evaluated_alike(people: Path, tmp_path: Path) -> None:
    figures = run_evaluate(as_parses(people, tmp_path / "parses"), people, tmp_path / "a")
    assert figures["all"]["AP"] > 0.98  # boxes in a parse are rounded to 0.1 px
    assert figures["all"]["AP50"] == 1.0
    assert figures["made"]["num_images"] == 3
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"report.json", "results.json", "truth.json", "pr_curves.png", "confusion.png"}
    assert cv2.imread(str(tmp_path / "a" / "pr_curves.png")) is not None
    again = run_evaluate(tmp_path / "a" / "results.json", people, tmp_path / "b")
    assert again == figures


def test_exported_results_are_evaluated_as_the_parses(people: Path, tmp_path: Path) -> None:
    parses = as_parses(people, tmp_path / "parses")
    truth = people / "annotations_val.json"
    arguments = ["coco", str(parses), "--truth", str(truth), "--out", str(tmp_path / "results.json"), *SILENT]
    assert export.main(export.build_parser().parse_args(arguments)) == 0
    assert run_evaluate(tmp_path / "results.json", people, tmp_path / "a") == run_evaluate(parses, people, tmp_path / "b")
    facts = VideoFacts("other.mp4", 200, 220, 0, 1.0, 1.0, 1, 1, 0)
    write_parse(VideoParse(facts, VOCABULARY, (), (), (), True), tmp_path / "other.json")
    arguments = ["coco", str(tmp_path / "other.json"), "--truth", str(truth), "--out", str(tmp_path / "none.json"), *SILENT]
    with pytest.raises(InputError, match="no frame of the parses is one of the 3 annotated images"):
        export.main(export.build_parser().parse_args(arguments))
    assert not (tmp_path / "none.json").exists()


def test_the_written_files_give_pycocotools_the_same_figures(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run_evaluate(as_parses(people, tmp_path / "parses"), people, tmp_path / "a")
    truth = COCO(str(tmp_path / "a" / "truth.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "a" / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert figures["all"]["AP"] == pytest.approx(float(evaluation.stats[0]), abs=1e-4)
    assert figures["all"]["AR"] == pytest.approx(float(evaluation.stats[8]), abs=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{}]", "result 0: expected bbox"),
        ('[{"bbox": [1, 2, 3, NaN], "score": 1, "image_id": 1, "category_id": 1}]', "result 0"),
        ('[{"bbox": [1, 2, 3, 4], "score": 1, "image_id": 99, "category_id": 1}]', "result 0"),
        ('[{"bbox": [1, 2, 3, 4], "score": 1, "image_id": 1, "category_id": 12}]', "category_id 12"),
        ("{}", "not a parse"),
        ("x", "not JSON"),
    ],
)
def test_bad_results_are_named(people: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=message):
        run_evaluate(tmp_path / "r.json", people, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_frames_of_a_video_are_found_by_number(people: Path, tmp_path: Path) -> None:
    """img_00003.jpg below the folder VIDEO is frame 2 of VIDEO.mp4."""
    (record, *_) = read_records("coco", people / "annotations_val.json", people / "images")
    frames = tuple(
        FrameParse(i, i / 10, Detections.empty(), Parts.empty(0, 10), PartStates.empty(0, 10, len(VOCABULARY.states))) for i in range(4)
    )
    facts = VideoFacts("clip.mp4", 200, 220, 0, 10.0, 0.4, 4, 4, 0)
    write_parse(VideoParse(facts, VOCABULARY, (), frames, (), True), tmp_path / "clip.json")
    from dataclasses import replace

    there, beyond = (replace(record, path=Path(f"images/clip/img_{number:05d}.jpg")) for number in (3, 9))
    assert len(compare([there, beyond], tmp_path / "clip.json")[0]) == 1
    with pytest.raises(InputError, match="holds nothing for any of the 1 annotated images"):
        compare([beyond], tmp_path / "clip.json")


def test_confusions_by_hand() -> None:
    """One part found as itself, one found as the other, one missed, one found where nothing is."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    truth = BoxTruth(boxes, np.array([0, 0, 1]), np.zeros(3, bool))
    found = (np.array([[0, 0, 10, 10], [20, 0, 30, 10], [80, 80, 90, 90]], np.float32), np.array([0.9, 0.9, 0.9]), np.array([0, 1, 1]))
    assert confusion_matrix([Item("a", truth, found)], ("a", "b")).tolist() == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_weights_of_items_with_rare_classes() -> None:
    classes = [["a"], ["a"], ["a"], ["a", "b"]]  # b stands in a quarter of the items
    assert item_weights(classes, "uniform", [1.0] * 4) is None
    assert item_weights(classes, "uniform", [1.0, 2.0, 1.0, 1.0]) == [1, 2, 1, 1]
    assert item_weights(classes, "repeat_factor", [1.0] * 4) == pytest.approx([1, 1, 1, (0.3 / 0.25) ** 0.5])
    assert item_weights(classes, "class_balanced", [1.0] * 4) == pytest.approx([1, 1, 1, 4])
    assert item_weights([], "class_balanced", []) is None

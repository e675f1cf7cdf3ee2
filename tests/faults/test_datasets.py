"""Data files of strangers: what everyday tools write, and what must never be lost or learned from without a word."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import painted_person, skeleton

from detectors.data import DetectionDataConfig
from detectors.train import DetectorTraining
from parsing.configs import parse_config
from parsing.datasets import Problems, read_coco, read_records, usable
from parsing.datasets.clips import read_clip_records, read_csv
from parsing.datasets.writing import write_coco
from parsing.errors import InputError
from parsing.learning.experiment import experiment
from parsing.vocabulary import read_list
from pipelines import inspect_data

IMAGE = {"id": 1, "file_name": "a.png", "height": 100, "width": 200}
PERSON: dict[str, Any] = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 20, 50, 40]}
CATEGORY = {"id": 1, "name": "person"}
BOX = [10, 20, 60, 60]
POLYGON = [10, 20, 60, 20, 60, 60, 10, 60]
RUNS = [10 * 100 + 20, *([40, 60] * 49), 40, 200 * 100 - 60 * 100 + 40]  # columns 10 to 59, rows 20 to 59 of a 100 x 200 mask


def write(path: Path, **changed: Any) -> Path:
    path.write_text(json.dumps({"images": [IMAGE], "annotations": [PERSON], "categories": [CATEGORY], **changed}))
    return path


def boxes(path: Path) -> list[tuple[str, list[float]]]:
    return [(item.label, item.xyxy.tolist()) for record in read_coco(path, path.parent) for item in record.objects]


@pytest.mark.parametrize(
    "changed",
    [
        {"images": [IMAGE | {"id": "1"}]},
        {"images": [IMAGE | {"id": "1"}], "annotations": [PERSON | {"image_id": 1.0, "category_id": "1"}]},
        {"categories": [{"id": "1", "name": "person"}]},
        {"annotations": [PERSON | {"bbox": [], "segmentation": [[*POLYGON[:4], 60, 40], POLYGON]}]},
        {"annotations": [{"image_id": 1, "segmentation": {"counts": RUNS, "size": [100, 200]}, "iscrowd": 1}]},
        {"annotations": [PERSON | {"bbox": None, "segmentation": {"counts": RUNS, "size": [100, 200]}}]},
        {"categories": [{"id": 0, "name": "person", "supercategory": "none"}, CATEGORY | {"supercategory": "person"}]},
        {"categories": [CATEGORY, {"id": 0, "name": "person", "supercategory": "none"}]},
        {"categories": [{"id": 1, "name": "Person"}]},
        {"categories": [{"id": 1, "name": " pedestrian"}]},
        {"categories": [{"id": 1, "name": "human"}, {"id": 2, "name": "dog"}]},
        {"categories": []},
        {"images": [IMAGE | {"file_name": "sub\\a.png"}]},
    ],
)
def test_coco_of_everyday_tools_holds_the_same_person(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert boxes(write(tmp_path / "c.json", **changed)) == [("person", BOX)]


def test_names_that_are_read_as_person_are_noted_and_others_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", categories=[CATEGORY, {"id": 2, "name": "pedestrian"}], annotations=[PERSON | {"category_id": 2}])
    assert boxes(path) == [("pedestrian", BOX)]  # this file tells persons and pedestrians apart
    problems = Problems()
    read_coco(write(path, categories=[{"id": 1, "name": "Human"}]), tmp_path, (), problems)
    assert problems.notes == [f"{path}: class 'Human' is read as 'person'"]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"bbox": [], "segmentation": []}, r"bbox \[\], expected"),
        ({"bbox": [], "segmentation": "x"}, "segmentation 'x', expected polygons"),
        ({"bbox": [], "segmentation": [[1, 2, 3]]}, r"polygon \[1, 2, 3\], expected x, y"),
        ({"bbox": [], "segmentation": [[1, 2, 3, 4]]}, "at least three points"),
        ({"bbox": [], "segmentation": [[1, 2, 3, float("inf"), 5, 6]]}, "finite"),
        ({"bbox": [], "segmentation": {"counts": [1], "size": [0, 0]}}, r"mask of size \[0, 0\], expected \[100, 200\]"),
        ({"bbox": [], "segmentation": {"counts": [-1, 20001], "size": [100, 200]}}, "mask of 2 runs, expected"),
        ({"bbox": [], "segmentation": {"counts": [1, 2], "size": [100, 200]}}, "fill 20000 pixels"),
        ({"bbox": [], "segmentation": {"counts": "ooooo", "size": [100, 200]}}, "mask of counts 'ooooo'"),  # a number without end
        ({"bbox": [], "segmentation": {"counts": "00000", "size": [100, 200]}}, "outside of its image"),
        ({"bbox": [], "segmentation": {"counts": [20000], "size": [100, 200]}}, "has no area"),
        ({"image_id": [1]}, r"id \[1\], expected a number or a text"),
        ({"image_id": True}, "id True, expected"),
        ({"category_id": "9"}, "unknown category_id '9'; known: 1"),
        ({"keypoints": [float("nan")] * 51}, "keypoints are not finite"),
    ],
)
def test_bad_annotations_are_named_and_take_their_image_along(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "c.json", images=[IMAGE, IMAGE | {"id": 2}], annotations=[PERSON | annotation])
    with pytest.raises(InputError, match=rf"c\.json: annotation 7: .*{message}"):
        read_coco(path, tmp_path)
    problems = Problems("skip", quiet=True)
    kept = [record.id for record in read_coco(path, tmp_path, (), problems)]
    unknown_image = "image_id" in annotation
    assert kept == ([1, 2] if unknown_image else [2])  # image 1 is no example of an image without persons
    assert len(problems.found) == 1
    assert len(problems.notes) == (0 if unknown_image else 1)


def test_parts_of_nobody_are_named(tmp_path: Path) -> None:
    head = {"id": 8, "image_id": 1, "category_id": 2, "bbox": [10, 20, 5, 5]}
    categories = [CATEGORY, {"id": 2, "name": "head"}]
    path = write(tmp_path / "c.json", categories=categories, annotations=[PERSON, head | {"person_id": 9}])
    with pytest.raises(InputError, match="annotation 8: person_id 9 is no annotation"):
        read_coco(path, tmp_path)
    write(path, categories=categories, annotations=[PERSON, head | {"person_id": "7"}])
    assert [part.name for part in read_coco(path, tmp_path)[0].persons[0].parts] == ["head"]
    write(path, categories=categories, annotations=[PERSON, head])  # a data set of helmets and heads
    assert [label for label, _ in boxes(path)] == ["person", "head"]


@pytest.fixture
def trained_on(tmp_path: Path) -> Path:
    """A data set of three pictures, with a training's config for it."""
    (tmp_path / "images").mkdir()
    records = [painted_person(tmp_path / "images", f"{i}.png", skeleton()) for i in range(3)]
    for split in ("train", "val"):
        write_coco(records, tmp_path / f"annotations_{split}.json", tmp_path / "images", {})
    return tmp_path


def training(root: Path, **data: Any) -> DetectorTraining:
    settings: dict[str, Any] = {
        "name": "cascade_rcnn",
        "target": "persons",
        "architecture": {"class_names": data.pop("class_names", ["person"]), "backbone": "test_resnet", "input_px": 64},
        "data": {"root": str(root), **data},
        "fit": {"epochs": 1, "batch_size": 2, "lr": 0.001},
        "pretrained": "none",
    }
    return parse_config(DetectorTraining, settings, "t")


@pytest.mark.parametrize("fault", ["lost", "text", "cut", "cut_png", "size", "box", "all_boxes"])
def test_trainings_count_what_the_inspection_counts(trained_on: Path, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    image, path = trained_on / "images" / "0.png", trained_on / "annotations_train.json"
    document = json.loads(path.read_text())
    if fault == "lost":
        image.unlink()
    elif fault == "text":
        image.write_text("no image")
    elif fault == "size":
        cv2.imwrite(str(image), np.zeros((10, 10, 3), np.uint8))
    elif fault == "cut_png":
        image.write_bytes(image.read_bytes()[:-400])
    elif fault == "cut":
        _, data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (220, 200, 3), np.uint8))
        image.write_bytes(data.tobytes()[: len(data) // 2])
    else:
        persons = [row for row in document["annotations"] if "person_id" not in row]
        for row in persons if fault == "all_boxes" else persons[:1]:
            row["bbox"] = [0, 0, -1, 5]
        path.write_text(json.dumps(document))
    data = DetectionDataConfig(str(trained_on), on_error="skip")
    kept = 0 if fault == "all_boxes" else 2
    arguments = inspect_data.build_parser().parse_args([str(path), "--quiet"])
    assert inspect_data.main(arguments) == 1
    text = capsys.readouterr().out
    assert f"images    {kept}, without any object 0" in text
    assert f"problems  {3 if fault == 'all_boxes' else 1}" in text
    if kept:
        assert len(data.read("train")) == kept
        with pytest.raises(InputError, match=r"annotations_train\.json|0\.png"):
            DetectionDataConfig(str(trained_on)).read("train")
    else:
        with pytest.raises(InputError, match=r"annotations_train\.json: no image of the train split that can be used"):
            data.read("train")


def test_images_of_several_folders_are_read_together(trained_on: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained_on, other)
    document = json.loads((other / "annotations_train.json").read_text())
    (other / "annotations_train.json").write_text(json.dumps({**document, "annotations": []}))
    data = DetectionDataConfig(str(trained_on), more=(str(other),))
    records = data.read("train")
    assert [len(record.persons) for record in records] == [1, 1, 1, 0, 0, 0]
    assert [record.path.parent for record in records] == [trained_on / "images"] * 3 + [other / "images"] * 3
    (other / "images" / "0.png").unlink()
    with pytest.raises(InputError, match=r"other/images/0\.png: image 1: image not found"):
        data.read("train")


def test_folders_of_other_formats_join_and_may_lack_a_split(trained_on: Path, tmp_path: Path) -> None:
    task = tmp_path / "task"
    shutil.copytree(trained_on / "images", task / "images")
    box = '<box label="person" xtl="1" ytl="1" xbr="60" ybr="60"/>'
    (task / "corrected.xml").write_text(f'<annotations><image id="0" name="0.png">{box}</image></annotations>')
    corrected = {"root": str(task), "format": "cvat", "train": "corrected.xml", "val": ""}
    trainer = training(trained_on, more=[corrected, {"root": str(trained_on), "train": ""}])
    assert [record.source for record in trainer.data.read("train")] == ["made"] * 3 + ["cvat"]
    assert len(trainer.data.read("val")) == 6
    only = training(Path(str(task)), **{name: value for name, value in corrected.items() if name != "root"})
    with pytest.raises(InputError, match="no image of the val split that can be used"):
        only.data.read("val")
    for wrong, message in (
        ({"root": "a", "formt": "cvat"}, r"data\.more\.0\.formt'; did you mean 'format'"),
        ({"format": "cvat"}, r"data\.more\.0\.root: "),
        ({"root": "a", "format": "xml"}, r"data\.more\.0\.format: .*found 'xml'"),
        (5, r"data\.more\.0: .*found 5"),
    ):
        with pytest.raises(InputError, match=message):
            training(trained_on, more=[wrong])


def test_a_class_without_a_box_stops_a_training_before_it_begins(trained_on: Path, tmp_path: Path) -> None:
    for names, message in (
        (["person", "helmet"], r"annotations_train\.json: no box of class helmet in 3 images to train on; found person 3"),
        (["Person"], "no box of class Person in 3 images to train on; found person 3"),
    ):
        with pytest.raises(InputError, match=message):
            experiment(training(trained_on, class_names=names), tmp_path / "run", quiet=True)
    val = json.loads((trained_on / "annotations_val.json").read_text())
    (trained_on / "annotations_val.json").write_text(json.dumps(val | {"annotations": []}))
    with pytest.raises(InputError, match=r"annotations_val\.json: no box of any class in 3 images to validate on"):
        experiment(training(trained_on), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_frames_and_persons_that_lose_everything_are_no_empty_images(tmp_path: Path) -> None:
    """The siblings in Kinetics-TPS and MPII."""
    (tmp_path / "frames/run/v").mkdir(parents=True)
    (tmp_path / "annotations/run/v").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "frames/run/v/img_00001.jpg"), np.zeros((50, 50, 3), np.uint8))
    human = {"number": 1, "box": [100, 100, 120, 120], "parts": {}}
    (tmp_path / "annotations/run/v/img_00001.json").write_text(json.dumps({"humans": [human]}))
    mpii = [{"image": "run\\v\\img_00001.jpg", "joints": [[-1, -1]] * 16, "joints_vis": [0] * 16}]
    (tmp_path / "mpii.json").write_text(json.dumps(mpii))
    for format_name, annotations in (("kinetics_tps", tmp_path / "annotations"), ("mpii", tmp_path / "mpii.json")):
        problems = Problems("skip", quiet=True)
        assert read_records(format_name, annotations, tmp_path / "frames", problems) == []  # type: ignore[arg-type]
        assert (len(problems.found), len(problems.notes)) == (1, 1)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


@pytest.mark.parametrize(
    "text",
    [
        "file,label,split\ntrain/a.mp4,run,train\n",
        "\ufefffile,label,split\r\ntrain/a.mp4,run,train\r\n",
        "file;label;split\ntrain/a.mp4;run;train\n",
        "file\tlabel\tsplit\ntrain/a.mp4\trun\ttrain",
        "File, Label, Split\ntrain/a.mp4, run, Train\n",
        'file,label,split\n"train/a.mp4","run","training"\n',
        "file,label,split\ntrain\\a.mp4,run,TRAIN\n",
        'split; "label"; file\nTraining; run ; train\\a.mp4 \n',
    ],
)
def test_tables_of_everyday_tools_hold_the_same_clip(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "train/a.mp4")
    (tmp_path / "l.csv").write_bytes(text.encode())
    (record,) = read_csv(tmp_path / "l.csv")
    assert (record.path, record.labels, record.split) == (tmp_path / "train/a.mp4", ("run",), "train")


def test_quoted_commas_are_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('file,label,split\n"a, b.mp4","push, pull",validation\n')
    (record,) = read_csv(tmp_path / "l.csv")
    assert (record.path.name, record.labels, record.split) == ("a, b.mp4", ("push, pull",), "val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 'file' is missing"),
        ("file,label\na,b\n", "column 'split' is missing"),
        ("file,label,split\na.mp4,run,trian\n", "line 2: split 'trian', expected train, val or test"),
        ("file,label,split\na.mp4,run\n", "line 2: expected file, label, split"),
        ("file,label,split\na.mp4,run,train,more\n", "line 2: expected file, label, split"),
        ('file,label,split\n"a.mp4,run,train\n', "cannot be read as CSV"),
        ("file,label,split\na\0.mp4,run,train\n", r"line 2: file name 'a\\x00\.mp4'"),
        ("file,label,split\na.mp4,run,train\na.mp4,run,val\n", r"a\.mp4 stands in train and in val"),
        (b"\xff\xfef\x00i\x00", "cannot be read as a list"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    (tmp_path / "l.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"l\.csv: .*{message}"):
        read_clip_records("csv", tmp_path, "l.csv")


def test_lists_with_byte_order_marks_and_paths_of_windows(tmp_path: Path) -> None:
    touch(tmp_path, "run/v_run_g01_c01.avi", "run/v_run_g02_c01.avi")
    (tmp_path / "classes.txt").write_bytes("\ufeffrun\r\n".encode())
    assert read_list(tmp_path / "classes.txt") == ("run",)
    for split, name in (("train", "v_run_g01_c01.avi"), ("val", "v_run_g02_c01.avi")):
        (tmp_path / f"k_{split}.txt").write_bytes(f"\ufeffrun\\{name} 0 \r\n".encode())
        (tmp_path / f"{split.replace('val', 'test')}list01.txt").write_bytes(f"\ufeffrun\\{name} 1\r\n".encode())
    (tmp_path / "run_test_split1.txt").write_bytes("\ufeffv_run_g01_c01.avi\t1\r\nv_run_g02_c01.avi 2 \r\n".encode())
    for kind, labels in (("list", "k"), ("ucf101", ".:1"), ("hmdb51", ".:1")):
        records = read_clip_records(kind, tmp_path, labels, "classes.txt")  # type: ignore[arg-type]
        assert {(record.path.name, record.labels, record.split) for record in records} == {
            ("v_run_g01_c01.avi", ("run",), "train"),
            ("v_run_g02_c01.avi", ("run",), "val"),
        }


def test_folders_of_classes_are_split_by_source(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, *(f"run/v_run_g{g}_c{c}.mp4" for g in range(10) for c in range(3)), "walk/a.mp4", "walk/b.mp4", "jump/c.mp4")
    records = read_clip_records("folders", tmp_path, "")
    assert len(records) == 33
    for label in ("run", "walk"):
        sides = [{r.path.stem.split("_c")[0] for r in records if r.labels == (label,) and r.split == split} for split in ("train", "val")]
        assert all(sides)
        assert not sides[0] & sides[1]
    assert "none is held out: jump" in caplog.text
    assert records == read_clip_records("folders", tmp_path, "")  # the same each time


def test_folders_named_like_splits_in_other_ways(tmp_path: Path) -> None:
    touch(tmp_path, "Train/run/a.mp4", "validation/run/b.mp4", "test/run/c.mp4")
    assert [(record.path.name, record.split) for record in read_clip_records("folders", tmp_path, "")] == [
        ("a.mp4", "train"),
        ("c.mp4", "test"),
        ("b.mp4", "val"),
    ]


def test_usable_records_are_those_whose_image_is_whole(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 200, 3), np.uint8))
    path = write(tmp_path / "c.json", images=[IMAGE, IMAGE | {"id": 2, "file_name": "b.png"}])
    problems = Problems("skip", quiet=True)
    assert [record.id for record in usable(read_coco(path, tmp_path, (), problems), problems)] == [1]
    assert problems.found == [f"{tmp_path / 'b.png'}: image 2: image not found"]

"""Readers of data sets: made-up records here, the real samples where they are at hand."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import skeleton

from parsing import PART_NAMES, InputError
from parsing.datasets import Problems, read_records
from parsing.datasets.problems import checked_box
from parsing.datasets.records import ImageRecord, ObjectRecord, PartRecord, true_parts
from parsing.datasets.writing import write_coco
from parsing.media.images import image_size, read_image

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "formats"
IMAGE = {"id": 1, "file_name": "a.png", "height": 100, "width": 200}
PERSON = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 80]}


def write(path: Path, **changed: Any) -> Path:
    document = {"images": [IMAGE], "annotations": [PERSON], "categories": [{"id": 1, "name": "person"}], **changed}
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ([10, 10, 0, 5], "has no area"),
        ([10, 10, -4, 5], "has no area"),
        ([10, 10, float("nan"), 5], "not finite"),
        ([300, 10, 20, 20], "outside of its image of 200 x 100 px"),
        ([-50, 10, 20, 20], "outside of its image"),
        ([1, 2, 3], r"bbox \[1, 2, 3\], expected \[x, y, width, height\]"),
        (None, "bbox None, expected"),
        ([], r"bbox \[\], expected"),
    ],
)
def test_bad_boxes_are_named_and_can_be_skipped(tmp_path: Path, bbox: Any, message: str) -> None:
    path = write(tmp_path / "a.json", annotations=[{**PERSON, "bbox": bbox}, {**PERSON, "id": 8}])
    with pytest.raises(InputError, match=rf"a\.json: annotation 7: .*{message}"):
        read_records("coco", path, tmp_path)
    problems = Problems("skip")
    (record,) = read_records("coco", path, tmp_path, problems)
    assert [person.id for person in record.persons] == [8]
    assert len(problems.found) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"annotations": [{**PERSON, "category_id": 3}]}, "unknown category_id 3; known: 1"),
        ({"annotations": [PERSON, PERSON]}, "annotation 7: the id stands there twice"),
        ({"annotations": [{**PERSON, "image_id": 9}]}, "image_id 9 is not among the images"),
        ({"images": [IMAGE, IMAGE]}, "image 1: the id stands there twice"),
        ({"images": [{**IMAGE, "width": 0}]}, "size 0 x 100 px"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, r"category 1 \(b\) stands there twice"),
        (
            {
                "annotations": [PERSON, {**PERSON, "id": 8, "category_id": 2}],
                "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}],
            },
            r"category 2 \(a\) stands there twice",
        ),
        ({"annotations": [{**PERSON, "keypoints": [1, 2]}]}, "annotation 7"),
        ({"annotations": [{**PERSON, "keypoints": [1.0] * 12}]}, "4 keypoints"),
        ({"images": 3}, "expected COCO lists"),
        ({"annotations": [3]}, "annotation 3: expected an object"),
        ({"images": [{**IMAGE, "ignore_regions_x": [[900, 950, 990]], "ignore_regions_y": [[1, 2, 3]]}]}, "image 1: ignore_regions: box"),
    ],
)
def test_bad_documents_are_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_records("coco", write(tmp_path / "a.json", **changed), tmp_path)


def test_files_that_are_no_json(tmp_path: Path) -> None:
    for text, message in (("{", "not JSON"), ("[" * 100_000, "not JSON"), ("[]", "expected COCO lists")):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=message):
            read_records("coco", tmp_path / "a.json", tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_records("coco", tmp_path / "b.json", tmp_path)


def test_boxes_are_clipped_to_their_image() -> None:
    assert checked_box([-5, 20, 30, 400], (100, 200)).tolist() == [0, 20, 30, 100]


def test_coco_round_trip_keeps_parts_sources_and_scores(tmp_path: Path) -> None:
    parts = (
        PartRecord("head", np.array([5, 5, 20, 20], np.float32), "pseudo", 0.7),
        PartRecord("left_foot", np.array([5, 80, 20, 90], np.float32), "pseudo", 0.2, ignored=True),
    )
    person = ObjectRecord(np.array([1, 2, 60, 95], np.float32), skeleton()[:, [0, 1, 2]] / (2, 2, 1), crowd=False, parts=parts)
    crowd = ObjectRecord(np.array([100, 0, 150, 50], np.float32), crowd=True, box_source="teacher")
    car = ObjectRecord(np.array([100, 50, 150, 90], np.float32), label="car")
    record = ImageRecord(tmp_path / "sub" / "a.png", (100, 200), (person, crowd, car), "made", "walk")
    write_coco([record], tmp_path / "a.json", tmp_path, {"made": "by a test"})
    (again,) = read_records("coco", tmp_path / "a.json", tmp_path)
    assert (again.path, again.image_hw, again.source, again.action) == (record.path, (100, 200), "made", "walk")
    assert [item.label for item in again.objects] == ["person", "person", "car"]
    assert len(again.persons) == 2
    first = again.objects[0]
    np.testing.assert_allclose(first.keypoints17, person.keypoints17, atol=1e-3)
    found = [(part.name, part.xyxy.tolist(), part.source, part.score, part.ignored) for part in first.parts]
    assert found == [(part.name, part.xyxy.tolist(), part.source, part.score, part.ignored) for part in parts]
    assert again.objects[1].crowd


def test_ground_truth_wins_over_pseudo_labels_and_ignored_parts() -> None:
    keypoints = skeleton()
    box = np.array([60, 0, 140, 210], np.float32)
    by_rule, known, _ = true_parts(ObjectRecord(box, keypoints), PART_NAMES)
    given = np.array([1, 1, 9, 9], np.float32)
    head, hip = PART_NAMES.index("head"), PART_NAMES.index("hip")
    assert known[[head, hip]].all()
    hidden_arm = PartRecord("left_arm", given, "pseudo", 0.2, ignored=True)
    parts = (PartRecord("head", given, "pseudo", 0.9), PartRecord("hip", given, "human"), hidden_arm)
    boxes, known, ignored = true_parts(ObjectRecord(box, keypoints, parts=parts), PART_NAMES)
    np.testing.assert_array_equal(boxes[head], by_rule[head])
    np.testing.assert_array_equal(boxes[hip], given)
    assert not ignored.any()
    boxes, known, ignored = true_parts(ObjectRecord(box, parts=parts), PART_NAMES)
    assert known.tolist() == [name in ("head", "hip") for name in PART_NAMES]
    assert ignored.tolist() == [name == "left_arm" for name in PART_NAMES]


def tps_frame(folder: Path, **human: Any) -> Path:
    frame = folder / "annotations" / "push_up" / "vid" / "vid" / "img_00001.json"
    frame.parent.mkdir(parents=True)
    parts = {
        "left_arm": {"number": 1, "box": [20, 20, 40, 60], "verb": "bend", "name": "left_arm"},
        "head": {"number": 2, "box": [[10, 10, 20, 20]], "verb": ["none", "turn"]},
    }
    frame.write_text(json.dumps({"humans": [{"number": 1, "box": [10, 10, 90, 90], "parts": parts, **human}]}))
    image = folder / "images" / "push_up" / "vid" / "img_00001.jpg"
    image.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.zeros((100, 120, 3), np.uint8))
    return folder


def test_kinetics_tps_folder(tmp_path: Path) -> None:
    folder = tps_frame(tmp_path)
    (record,) = read_records("kinetics_tps", folder / "annotations", folder / "images")
    assert (record.action, record.image_hw, record.path.name) == ("push_up", (100, 120), "img_00001.jpg")
    arm, head = record.persons[0].parts
    assert (arm.name, arm.states, head.states) == ("left_arm", {"bend": True}, {"none": True, "turn": True})
    assert head.xyxy.tolist() == [10, 10, 20, 20]


def test_kinetics_tps_problems_name_the_frame_and_the_human(tmp_path: Path) -> None:
    folder = tps_frame(tmp_path, parts={"tail": {"box": [1, 1, 2, 2], "verb": "wag"}})
    with pytest.raises(InputError, match=r"img_00001\.json: human 1: tail: unknown part"):
        read_records("kinetics_tps", folder / "annotations", folder / "images")
    frame = folder / "annotations" / "push_up" / "vid" / "vid" / "img_00001.json"
    for text in ("{", "[]", '{"humans": 3}'):
        frame.write_text(text)
        problems = Problems("skip")
        assert read_records("kinetics_tps", folder / "annotations", folder / "images", problems) == []
        assert len(problems.found) == 1
    with pytest.raises(InputError, match=r"no image img_00001\.jpg"):
        read_records("kinetics_tps", folder / "annotations", folder / "nowhere")
    with pytest.raises(InputError, match="no annotation"):
        read_records("kinetics_tps", folder / "images", folder / "images")


def test_yolo_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("a.png", "empty.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "data.yaml").write_text("names: {0: person, 1: car}\n")
    keypoints = " ".join(["0.5 0.5 2"] * 17)
    (tmp_path / "labels" / "a.txt").write_text(f"1 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.5 0.5 {keypoints}\n")
    first, second = read_records("yolo", tmp_path / "labels", tmp_path / "images")
    assert [item.label for item in first.objects] == ["car", "person"]
    assert first.objects[0].xyxy.tolist() == [75, 25, 125, 75]
    assert first.objects[1].keypoints17 is not None
    assert first.objects[1].keypoints17[3].tolist() == [100, 50, 2]
    assert second.objects == ()
    (tmp_path / "images" / "bad.png").write_text("no image")
    problems = Problems("skip")
    assert len(read_records("yolo", tmp_path / "labels", tmp_path / "images", problems)) == 2
    assert len(problems.found) == 1
    (tmp_path / "images" / "bad.png").unlink()
    for row, message in (("2 .5 .5 .1 .1", "unknown class 2"), ("0 .5 .5 .1", "4 numbers"), ("0 .5 .5 x .1", "could not convert")):
        (tmp_path / "labels" / "a.txt").write_text(row)
        with pytest.raises(InputError, match=rf"a\.txt: line 1: {message}"):
            read_records("yolo", tmp_path / "labels", tmp_path / "images")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of data sets are not at hand")
@pytest.mark.parametrize(
    ("name", "images", "counts", "named"),
    [
        ("coco/test_coco.json", "coco", (4, 14, 12), ()),
        ("coco/test_coco_wholebody.json", "coco", (4, 14, 12), ("left_hand",)),
        ("halpe/test_halpe.json", "coco", (4, 14, 12), ()),
        ("jhmdb/test_jhmdb_sub1.json", "jhmdb", (3, 3, 3), ()),
        ("posetrack18/annotations/test_posetrack18_val.json", "posetrack18", (3, 29, 14), ("head",)),
        ("crowdpose/test_crowdpose.json", "crowdpose", (2, 5, 4), ("head",)),
        ("aic/test_aic.json", "aic", (3, 9, 9), ("head",)),
        ("ochuman/test_ochuman.json", "ochuman", (3, 5, 5), ()),
        ("mpii/test_mpii.json", "mpii", (5, 5, 5), ("head",)),
    ],
)
def test_real_samples(name: str, images: str, counts: tuple[int, int, int], named: tuple[str, ...]) -> None:
    records = read_records("mpii" if images == "mpii" else "coco", SAMPLES / name, SAMPLES / images)
    objects = [item for record in records for item in record.objects]
    assert (len(records), len(objects), sum(item.best_keypoints is not None for item in objects)) == counts
    assert {part.name for item in objects for part in item.parts} >= set(named)
    for record in records:
        if record.path.exists():
            assert image_size(record.path) == record.image_hw
    with_feet = name.startswith(("halpe", "coco/test_coco_whole"))
    assert any(item.keypoints33 is not None for item in objects) == with_feet


def test_joints_land_on_the_right_names(tmp_path: Path) -> None:
    """CrowdPose lists shoulders first: a wrist must not become an eye, and the head comes from its top and the neck."""
    names = ["left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"]
    names += ["left_knee", "right_knee", "left_ankle", "right_ankle", "top_head", "neck"]
    points = {name: (10 + 3 * i, 20 + 2 * i, 2) for i, name in enumerate(names)} | {"top_head": (30, 10, 2), "neck": (30, 30, 2)}
    row = {**PERSON, "keypoints": [value for name in names for value in points[name]]}
    path = write(tmp_path / "a.json", annotations=[row], categories=[{"id": 1, "name": "person", "keypoints": names}])
    (person,) = read_records("coco", path, tmp_path)[0].persons
    assert person.keypoints17 is not None
    assert person.keypoints17[9].tolist() == list(points["left_wrist"])
    assert person.keypoints17[:5].tolist() == [[0, 0, 0]] * 5
    assert [(part.name, part.xyxy.tolist()) for part in person.parts] == [("head", [22, 10, 38, 30])]


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.jpg"), random.integers(0, 255, (64, 80, 3), np.uint8))
    data = (tmp_path / "a.jpg").read_bytes()
    assert read_image(tmp_path / "a.jpg").shape == (64, 80, 3)
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"cut\.jpg: the image is cut off"):
        read_image(tmp_path / "cut.jpg")
    (tmp_path / "late.jpg").write_bytes(data + b"\0" * 50)  # bytes after the end harm nobody
    assert read_image(tmp_path / "late.jpg").shape == (64, 80, 3)
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((2, 100_000, 3), np.uint8))
    with pytest.raises(InputError, match=r"wide\.png: an image of 100000 x 2 px; at most 32000"):
        read_image(tmp_path / "wide.png")
    with pytest.raises(InputError, match="image not found"):
        image_size(tmp_path / "none.jpg")

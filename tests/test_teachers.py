"""The rules by which teachers label people (`scripts/teachers`, `scripts/label_people.py`, `scripts/make_empty_scenes.py`)."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from label_people import hold_out
from make_empty_scenes import LARGE, held_out, largest_free
from teachers.boxes import Person, find_persons, strength, union
from teachers.doubted_parts import doubted_parts
from teachers.graphs import read_graph, read_movenet
from teachers.movenet import Boxes, MultiPose
from teachers.poses import Pose, agreed_joints, is_good, to_blazepose, trunk_angle
from teachers.second_look import second_look

from parsing.types import Array

STREET = {"id": 1, "source": "street", "width": 200, "height": 200}
GYM = STREET | {"source": "exercise"}


def boxes(*rows: tuple[float, ...]) -> Boxes:
    """x1, y1, x2, y2, score each; joints all at 7."""
    table = np.array(rows, float).reshape(-1, 5)
    return Boxes(table[:, :4], table[:, 4], np.full((len(table), 17, 3), 7.0))


def annotation(bbox: list[float], source: str = "teacher", keypoint: int = 0) -> dict[str, Any]:
    return {"id": 5, "image_id": 1, "bbox": bbox, "box_source": source, "iscrowd": 0, "keypoints": [keypoint] * 51}


def test_union_of_nothing_is_empty() -> None:
    assert union(boxes(), boxes()) == []


def test_union_averages_pairs_by_their_scores() -> None:
    (person,) = union(boxes((0, 0, 10, 20, 0.85)), boxes((0, 0, 10, 16, 0.6)))
    np.testing.assert_allclose(person.box, [0, 0, 10, 19.2])  # weights 3 * 0.85 + 0.05 = 2.6 and 0.6 + 0.05
    assert (person.yolox, person.multipose, person.iou) == (0.85, 0.6, pytest.approx(0.8))
    assert person.joints is not None


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        (8, [[0, 0, 10, 20]]),  # IoU 0.4, all of it inside: the same person, but only YOLOX's box counts
        (4, [[0, 0, 10, 20], [0, 0, 10, 4]]),  # IoU 0.2: another one
    ],
)
def test_union_of_a_box_in_a_box(height: float, expected: list[list[float]]) -> None:
    found = union(boxes((0, 0, 10, 20, 0.9)), boxes((0, 0, 10, height, 0.9)))
    np.testing.assert_allclose([person.box for person in found], expected)


def test_union_leaves_out_doubles_and_what_is_weak() -> None:
    found = union(boxes((0, 0, 10, 20, 0.9), (0, 0, 10, 19, 0.8), (50, 0, 60, 20, 0.14)), boxes((90, 0, 99, 9, 0.11)))
    assert [person.yolox for person in found] == [0.9]


@pytest.mark.parametrize(
    ("yolox", "multipose", "iou", "level"),
    [(0.45, 0.2, 0.8, 2), (0.44, 0.2, 0.8, 1), (0.6, 0, 0, 2), (0.59, 0, 0, 1), (0.19, 0, 0, 0), (0, 0.5, 0, 2), (0, 0.15, 0, 1)],
)
def test_strength(yolox: float, multipose: float, iou: float, level: int) -> None:
    assert strength(Person(np.zeros(4), yolox, multipose, iou)) == level


def test_humans_boxes_stay_and_old_poses_count_as_votes() -> None:
    weak = boxes((100, 0, 140, 100, 0.4), (0, 0, 40, 100, 0.9))
    human, old = annotation([0, 0, 40, 104], "human"), annotation([100, 0, 40, 100], keypoint=1)
    first, second = find_persons(STREET, [human, old], weak, boxes())
    np.testing.assert_array_equal(first.box, [0, 0, 40, 104])
    assert (first.source, first.by_teachers) == ("human", False)
    assert (second.ignored, second.old) == (False, old)
    (alone,) = find_persons(STREET, [], boxes((100, 0, 140, 100, 0.4)), boxes())
    assert alone.ignored
    (lost,) = find_persons(STREET, [old], boxes(), boxes())
    assert lost.ignored
    assert lost.lost


def test_a_second_look_ignores_single_votes_in_gyms_and_boxes_in_boxes() -> None:
    def person(x2: float, yolox: float, **facts: Any) -> Person:
        return Person(np.array([0, 0, x2, 100]), yolox, 0.0, **facts)

    assert [p.ignored for p in second_look(STREET, [person(50, 0.7)])] == [False]
    assert [p.ignored for p in second_look(GYM, [person(50, 0.7)])] == [True]
    assert second_look(GYM, [person(50, 0.29, ignored=True)]) == []
    inner, outer = person(40, 0.7), person(100, 0.9)
    assert [p.ignored for p in second_look(STREET, [inner, outer])] == [True, False]  # 0.4 of the area, one vote
    assert second_look(STREET, [person(40, 0.7, ignored=True), outer]) == [outer]


def test_a_second_look_brings_back_who_had_a_pose() -> None:
    lost = Person(np.array([0.0, 0, 40, 40]), 0.0, 0.0, old=annotation([0, 0, 40, 40], keypoint=1), ignored=True, lost=True)
    (found,) = second_look(GYM, [lost])
    assert (found.ignored, found.revived) == (False, True)


def pose_of(changes: dict[int, tuple[list[float], list[float]]]) -> Pose:
    """Both teachers see all joints at (50, 100), but for those given: x, y, score of Thunder's and of BlazePose's."""
    thunder, heavy17 = np.full((2, 17, 3), [50, 100, 0.9])
    for joint, (first, second) in changes.items():
        thunder[joint], heavy17[joint] = first, second
    return Pose(thunder, spread(heavy17))


def spread(joints17: Array) -> Array:
    heavy = np.full((33, 3), [50, 100, 0.9])
    heavy[[0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]] = joints17
    return heavy


def test_votes_about_joints() -> None:
    """The box is 200 px high: 13 px are near for a body's joint and 9.1 px for a face's."""
    pose = pose_of(
        {
            0: ([50, 100, 0.9], [60, 100, 0.9]),  # too far for a nose
            5: ([50, 100, 0.9], [60, 100, 0.9]),  # near enough for a shoulder
            6: ([50, 100, 0.4], [50, 160, 0.9]),  # MultiPose is with Thunder
            7: ([50, 160, 0.9], [50, 100, 0.9]),  # MultiPose is with BlazePose
            8: ([50, 100, 0.14], [50, 100, 0.39]),  # nobody sees it
            9: ([50, -20, 0.9], [50, -20, 0.9]),  # outside of the image
            10: ([50, 100, 0.2], [50, 100, 0.4]),
        }
    )
    third = np.full((17, 3), [50, 104, 0.5])
    third[[0, 5], 2] = 0  # MultiPose does not know them
    person = Person(np.array([0, 0, 100, 200]), joints=third)
    keypoints, votes = agreed_joints(pose, person, (200, 100))
    assert votes == "daaaaamhndaaaaaaa"
    np.testing.assert_array_equal(keypoints[[0, 5, 6, 7, 8, 9, 10]], [
        [0, 0, 0], [50, 100, 2], [50, 100, 1], [50, 102, 1], [0, 0, 0], [0, 0, 0], [50, 100, 1],
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("votes", "good"),  # face, shoulders, arms, hips, legs
    [
        ("nnnnn aa aaaa an nnnn", False),  # 7 joints
        ("nnnnn aa aaaa an annn", True),
        ("nnnnn ah mmaa an hnnn", True),
        ("nnnnn aa aaaa nn aaaa", False),  # two of the trunk's four
        ("aaaaa aa nnnn an nnnn", False),  # three of the body
        ("aaaaa aa addd aa dddd", True),  # 10 of 17
        ("aaaad aa addd aa dddd", False),  # 9 of 17 are less than 0.55
    ],
)
def test_which_poses_are_kept(votes: str, good: bool) -> None:
    assert is_good(votes.replace(" ", "")) is good


def test_hands_ride_on_agreed_wrists_and_not_on_others() -> None:
    heavy = spread(np.full((17, 3), [50, 100, 0.9]))
    heavy[[17, 18]] = [[55, 100, 0.8], [55, 100, 0.8]]
    keypoints = np.full((17, 3), [52, 100, 2.0])
    keypoints[10] = 0  # the right wrist
    found = to_blazepose(keypoints, heavy, side=200, human=False)
    np.testing.assert_allclose(found[[15, 17, 16, 18]], [[52, 100, 1], [57, 100, 0.8], [50, 100, 0], [55, 100, 0]])


def test_a_doubted_hand_lies_around_both_wrists() -> None:
    pose = pose_of({9: ([40, 100, 0.9], [60, 120, 0.9])})
    found = doubted_parts(pose, "aaaaaaaaadaaaaaaa", np.array([0, 0, 100, 200]), (200, 100))
    assert set(found) == {"left_arm", "left_hand"}
    np.testing.assert_allclose(found["left_hand"], [22, 82, 78, 138])  # 0.09 of 200 px around
    assert doubted_parts(pose, "a" * 17, np.array([0, 0, 100, 200]), (200, 100)) == {}


def test_trunk_angle() -> None:
    joints = np.zeros((17, 3))
    assert trunk_angle(joints) == 0
    joints[[5, 6]], joints[[11, 12]] = [90, 50, 1], [50, 50, 1]  # the head lies to the right
    assert trunk_angle(joints) == pytest.approx(np.pi / 2)


def test_held_out_images_get_new_numbers() -> None:
    def document(images: list[int], source: str, annotations: list[dict[str, int]]) -> dict[str, Any]:
        return {"images": [{"id": i, "source": source} for i in images], "annotations": annotations}

    people = [{"id": 10 + i, "image_id": i} for i in range(1, 6)] + [{"id": 90, "image_id": 1, "person_id": 11}]
    train, val = hold_out(document([*range(1, 7)], "coco", people), document([3], "street", [{"id": 4, "image_id": 3}]))
    assert [image["id"] for image in train["images"]] == [2, 3, 4]  # the first and fifth with people, the first without, left
    assert [image["id"] for image in val["images"]] == [3, 4, 5, 6]
    assert val["annotations"][1:] == [
        {"id": 5, "image_id": 4},
        {"id": 6, "image_id": 5},
        {"id": 7, "image_id": 4, "person_id": 5},
    ]


def test_scenes_of_all_strengths_are_held_out() -> None:
    held = held_out(list(range(82)), random.Random(0))
    assert len(held) == 22
    assert {i // 4 for i in held} == set(range(21))


def test_a_piece_keeps_off_persons() -> None:
    persons = np.array([[0.0, 0, 50, 100]])
    x, y, width, height = largest_free(persons, (200, 100), LARGE, np.random.default_rng(0)) or (0, 0, 0, 0)
    assert 54 <= x < x + width <= 200
    assert 0 <= y < y + height <= 100
    assert largest_free(np.array([[0.0, 0, 200, 100]]), (200, 100), LARGE, np.random.default_rng(0)) is None


def write_graph(path: Path, weights: dict[str, Array], nodes: list[dict[str, Any]]) -> None:
    rows = [
        {"name": name, "shape": value.shape, "dtype": "float32", "quantization": {"dtype": "float16"}} for name, value in weights.items()
    ]
    path.with_suffix(".json").write_text(json.dumps({"weightsManifest": [{"weights": rows}], "modelTopology": {"node": nodes}}))
    path.with_suffix(".bin").write_bytes(b"".join(value.astype(np.float16).tobytes() for value in weights.values()))


def test_graphs_give_kernels_in_pytorchs_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"StatefulPartitionedCall/w": np.arange(6.0).reshape(1, 1, 2, 3), "b": np.array([0.5, 1, 2]), "d": np.ones((3, 3, 2, 1))}
    nodes = [
        {"name": "StatefulPartitionedCall/conv", "input": ["x:0", "StatefulPartitionedCall/w", "b"]},
        {"name": "deep", "input": ["x", "d"]},
    ]
    write_graph(tmp_path / "graph", weights, nodes)
    assert read_graph(tmp_path / "graph")[0] == {"conv": ["x", "w", "b"], "deep": ["x", "d"]}
    monkeypatch.setattr("teachers.graphs._trunk_nodes", lambda: {"stem": "conv", "blocks.0.depthwise": "deep"})
    found = read_movenet(tmp_path / "graph")
    torch.testing.assert_close(found["stem.weight"], torch.tensor([[0.0, 3], [1, 4], [2, 5]])[:, :, None, None])
    torch.testing.assert_close(found["stem.bias"], torch.tensor([0.5, 1, 2]))
    assert found["blocks.0.depthwise.weight"].shape == (2, 1, 3, 3)


def test_multipose_tells_persons_in_pixels_of_the_image() -> None:
    """The image is doubled to 512 px, so a cell of four pixels there is two here."""
    centre, heat = np.zeros((1, 128, 128), np.float32), np.zeros((17, 128, 128), np.float32)
    centre[0, 40, 30], heat[:, 40, 30] = 0.9, 0.8
    to_joints, sizes = np.zeros((34, 128, 128)), np.zeros((2, 128, 128))
    sizes[:, 40, 30] = 20, 10
    multipose = MultiPose.__new__(MultiPose)
    multipose.networks = {(512, 512): lambda _: [centre, heat, to_joints, to_joints, sizes, np.zeros_like(sizes)]}
    found = multipose(np.zeros((256, 256, 3), np.uint8))
    np.testing.assert_allclose(found.scores, [0.72, 0, 0, 0, 0, 0], atol=1e-6)  # 0.9 * 0.8; cells without a person have no size
    np.testing.assert_allclose(found.xyxy[0], [50, 60, 70, 100])
    np.testing.assert_allclose(found.keypoints[0], [[60, 80, 0.8]] * 17, rtol=1e-6)

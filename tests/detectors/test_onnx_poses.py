"""The pose adapter on real graphs that are built here."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from builders import painted_person, skeleton
from graphs import constant_graph

from detectors.adapters.onnx_poses import OnnxPose, OnnxPoseConfig
from detectors.heatmaps import keypoint_heatmaps
from detectors.parts import KeypointPartDetector, mirror_crop
from parsing import PART_NAMES, Detections, Frame, InputError
from parsing.keypoints import COCO_SWAP, LAYOUTS
from parsing.media.images import read_image
from parsing.networks.graphs import GraphInput, open_graph
from parsing.pose import part_boxes
from parsing.types import ModelFacts, Poses

ONE = Detections(np.array([[40, 20, 140, 120]]), np.ones(1), np.zeros(1))


def frame() -> Frame:
    return Frame("a.png", 0, 0.0, np.zeros((200, 180, 3), np.uint8))


@pytest.mark.parametrize("form", ["coordinates", "heatmaps", "simcc"])
def test_the_three_forms_of_output_mean_the_same_point(form: str, tmp_path: Path) -> None:
    # The joint lies at three quarters of the crop's width and at half of its height.
    coordinates = np.tile([0.5, 0.75, 0.9], (1, 1, 17, 1))
    heatmaps = np.zeros((1, 17, 16, 16))
    heatmaps[:, :, 8, 12] = 0.9
    simcc = np.zeros((1, 17, 128))
    across, down = simcc.copy(), simcc.copy()
    across[:, :, 96], down[:, :, 64] = 0.9, 0.9
    outputs = {"coordinates": {"out": coordinates}, "heatmaps": {"out": heatmaps}, "simcc": {"x": across, "y": down}}[form]
    pose = OnnxPose(open_graph(constant_graph(tmp_path / "pose.onnx", outputs)), context=1.2)
    points = pose([frame()], [ONE])[0].keypoints[0]
    side = 100 * 1.2
    wanted = [90 - side / 2 + 0.75 * side, 70 - side / 2 + 0.5 * side]
    np.testing.assert_allclose(points[:, :2], np.tile(wanted, (17, 1)), atol=side / 16)
    np.testing.assert_allclose(points[:, 2], 0.9, atol=1e-5)
    assert pose([frame()], [Detections.empty()])[0].keypoints.shape == (0, 17, 3)


@pytest.mark.parametrize("count", [17, 26, 133])
def test_simcc_graphs_see_what_rtmpose_sees(count: int, tmp_path: Path) -> None:
    """256 x 192 (h x w) around the box, widened to 3:4 and by a quarter: by hand for boxes that are too slim and too wide."""
    across, down = np.zeros((1, count, 384)), np.zeros((1, count, 512))
    across[:, :, 288], down[:, :, 128] = 0.9, 0.8  # x 144 and y 64 of the input
    pose = OnnxPose(open_graph(constant_graph(tmp_path / "pose.onnx", {"x": across, "y": down}, (1, 3, 256, 192))))
    assert (pose.context, pose.border) == (1.25, 0)
    boxes = np.array([[40, 20, 60, 120], [20, 90, 140, 110]])  # 100 tall: 75 x 100; 120 wide: 120 x 160
    (found,) = pose([frame()], [Detections(boxes, np.ones(2), np.zeros(2))])
    assert found.keypoints.shape == (2, count, 3)
    slim, wide = found.keypoints[:, -1]
    np.testing.assert_allclose(slim, [50 + 0.25 * 93.75, 70 - 0.25 * 125, 0.8], rtol=1e-5)
    np.testing.assert_allclose(wide, [80 + 0.25 * 150, 100 - 0.25 * 200, 0.8], rtol=1e-5)


class Spy:
    """A SimCC graph for inputs of 128 x 96 (h x w) that remembers what it saw."""

    path, inputs, output_names = Path("spy.onnx"), (GraphInput((1, 3, 128, 96), np.dtype(np.float32)),), ("x", "y")

    def __call__(self, *tensors: np.ndarray) -> list[np.ndarray]:
        (self.seen,) = tensors
        return [np.ones((1, 17, 192)), np.ones((1, 17, 256))]


def test_pictures_are_cut_and_normalised_as_rtmpose_does() -> None:
    """The input is what mmpose's affine map gives, RGB, less ImageNet's mean, over its deviation."""
    coarse = np.random.default_rng(0).integers(0, 255, (40, 36, 3), np.uint8)
    image = cv2.resize(coarse, (180, 200), interpolation=cv2.INTER_CUBIC)
    spy = Spy()
    OnnxPose(spy)([Frame("a.png", 0, 0.0, image)], [ONE])
    scale = 96 / 125  # the box has 100 x 100 px around (90, 70): 100 x 133.3 by the input's sides, then a quarter more
    matrix = np.array([[scale, 0, 48 - 90 * scale], [0, scale, 64 - 70 * scale]])
    matrix[:, 2] += (scale - 1) / 2  # whole numbers are the middles of pixels here, in mmpose their corners
    expected = cv2.warpAffine(image, matrix, (96, 128), flags=cv2.INTER_LINEAR)
    expected = (expected - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    assert spy.seen.shape == (1, 3, 128, 96)
    np.testing.assert_allclose(spy.seen[0].transpose(1, 2, 0), expected, atol=2 / 57)  # two levels of grey
    assert spy.seen[0, 0, 0, 0] == pytest.approx(-123.675 / 58.395)  # outside of the image is black


def test_graphs_that_do_not_fit_are_named(tmp_path: Path) -> None:
    def pose(outputs: dict[str, np.ndarray], shape: tuple[int, ...] = (1, 3, 64, 48)) -> OnnxPose:
        return OnnxPose(open_graph(constant_graph(tmp_path / "pose.onnx", outputs, shape)))

    with pytest.raises(InputError, match="expected one image of fixed size"):
        pose({"out": np.zeros((1, 17, 3))}, (4, 3, 64, 64))
    with pytest.raises(InputError, match=r"pose\.onnx: outputs \[\(1, 21, 3\)\]; expected"):
        pose({"out": np.zeros((1, 21, 3))})
    with pytest.raises(InputError, match="expected"):
        pose({"x": np.zeros((1, 17, 96)), "y": np.zeros((1, 16, 128))})
    with pytest.raises(InputError, match="SimCC vectors"):  # y before x
        pose({"y": np.zeros((1, 17, 128)), "x": np.zeros((1, 17, 96))})
    with pytest.raises(InputError, match=r"17, 26, 33, 133, 136"):
        pose({"out": np.zeros((1, 21, 16, 12))})


def test_hands_and_feet_of_whole_bodies_are_boxed_by_their_own_points() -> None:
    names = LAYOUTS[133]
    points = np.zeros((133, 3), np.float32)
    points[:17] = skeleton()
    for name, at in {
        "left_wrist2": (126, 110),
        "left_middle4": (150, 128),
        "left_thumb4": (140, 104),
        "left_small_toe": (150, 200),
    }.items():
        points[names.index(name)] = (*at, 1)
    boxes, visible = part_boxes(points, np.array([0, 0, 220, 220], np.float32))
    hand, foot = (boxes[PART_NAMES.index(f"left_{part}")] for part in ("hand", "foot"))
    assert visible.all()
    unit = 60 * 1.0  # shoulders at 45, hips at 105
    np.testing.assert_allclose(hand, [126 - 0.04 * unit, 104 - 0.04 * unit, 150 + 0.04 * unit, 128 + 0.04 * unit], atol=1e-3)
    assert foot[2] == pytest.approx(150 + 0.08 * unit)
    by_rule, _ = part_boxes(skeleton(), np.array([0, 0, 220, 220], np.float32))
    np.testing.assert_array_equal(boxes[PART_NAMES.index("right_hand")], by_rule[PART_NAMES.index("right_hand")])


class Truth:
    """A pose estimator that knows the painted person."""

    facts = ModelFacts("pose", "truth", None, "{}")

    def __init__(self, score: float = 1.0) -> None:
        self.score = score

    def __call__(self, frames: list[Frame], persons: list[Detections]) -> list[Poses]:  # noqa: ARG002
        points = skeleton()
        points[:, 2] = self.score
        return [Poses(np.tile(points, (len(p), 1, 1))) for p in persons]


def test_parts_by_rule_follow_the_pose(tmp_path: Path) -> None:
    record = painted_person(tmp_path, "a.png", skeleton())
    box = record.persons[0].xyxy
    persons = Detections(box[None], np.ones(1), np.zeros(1))
    still = Frame("a.png", 0, 0.0, read_image(record.path))
    parts = KeypointPartDetector(Truth(0.8), 0.3)([still], [persons])[0]
    boxes, visible = part_boxes(skeleton(), box)
    assert visible.all()
    np.testing.assert_allclose(parts.xyxy[0, PART_NAMES.index("left_arm")], boxes[PART_NAMES.index("left_arm")])
    assert parts.scores[0].tolist() == pytest.approx([0.8] * 10)
    assert not KeypointPartDetector(Truth(0.2), 0.3)([still], [persons])[0].visible.any()
    assert len(KeypointPartDetector(Truth(), 0.3)([still], [Detections.empty()])[0]) == 0


def test_heatmaps_peak_at_joints_and_leave_out_the_unsure() -> None:
    points = np.zeros((17, 3), np.float32)
    points[0], points[5], points[6] = (20.5, 30.5, 0.9), (10.5, 40.5, 0.1), (-50, -50, 1.0)
    maps = keypoint_heatmaps(points, 48)
    assert maps.shape == (48, 48, 17)
    assert maps[30, 20, 0] == 255
    assert maps[..., 5].max() == 0
    assert maps[..., 6].max() == 0


def test_mirrored_crops_swap_the_maps_of_left_and_right() -> None:
    points = np.zeros((17, 3), np.float32)
    points[9] = (10.5, 20.5, 1.0)  # left wrist
    crop = np.concatenate([np.zeros((48, 48, 3), np.uint8), keypoint_heatmaps(points, 48)], 2)
    mirrored = mirror_crop(torch.from_numpy(crop))
    assert mirrored[20, 37, 3 + 10] == 255
    assert mirrored[..., 3 + 9].max() == 0
    assert [COCO_SWAP[i] for i in COCO_SWAP] == list(range(17))


def test_movenet_finds_the_joints_of_real_people(development_data: Path) -> None:
    """PCK at 5 % of the box's height on photos with human keypoints."""
    from detectors.evaluation import frame_of
    from parsing.datasets import read_records

    graph_path = development_data / "teachers" / "movenet_single_pose_lightning_ptq.tflite"
    pose = OnnxPoseConfig("onnx", str(graph_path)).build("cpu")
    records = read_records("coco", development_data / "people" / "annotations_val.json", development_data / "people" / "images")
    right = total = 0
    for record in [r for r in records if r.source == "fashion"][:12]:
        for person in record.persons:
            points = person.keypoints17
            if points is None:
                continue
            found = pose([frame_of(record)], [Detections(person.xyxy[None], np.ones(1), np.zeros(1))])[0].keypoints[0]
            off = np.linalg.norm(found[:, :2] - points[:, :2], axis=1) / (person.xyxy[3] - person.xyxy[1])
            right, total = right + int((off[points[:, 2] > 0] < 0.05).sum()), total + int((points[:, 2] > 0).sum())
    assert right / total > 0.85

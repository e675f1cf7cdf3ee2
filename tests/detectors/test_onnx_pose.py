"""The pose adapter on real graphs that are built here."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from builders import painted_person, skeleton
from onnx import TensorProto, helper

from detectors.adapters.onnx import OnnxPose, OnnxPoseConfig, read_keypoints
from detectors.heatmaps import keypoint_heatmaps
from detectors.parts import KeypointPartDetector, mirror_crop
from parsing import PART_NAMES, Detections, Frame, InputError
from parsing.media.images import read_image
from parsing.pose import COCO_SWAP, part_boxes
from parsing.types import ModelFacts, Poses

ONE = Detections(np.array([[40, 20, 140, 120]]), np.ones(1), np.zeros(1))


def graph(path: Path, outputs: dict[str, np.ndarray], shape: tuple[Any, ...] = (1, 3, 64, 64)) -> Path:
    """An ONNX graph that gives constants, whatever its input."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0), helper.make_node("Mul", ["sum", "nothing"], ["zero"])]
    constants = [helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0])]
    infos = []
    for name, value in outputs.items():
        constants.append(helper.make_tensor(f"{name}_constant", TensorProto.FLOAT, value.shape, value.astype(np.float32).ravel()))
        nodes.append(helper.make_node("Add", [f"{name}_constant", "zero"], [name]))
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    model = helper.make_model(helper.make_graph(nodes, "pose", [image], infos, constants), opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return path


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
    pose = OnnxPose(graph(tmp_path / "pose.onnx", outputs), context=1.2)
    points = pose([frame()], [ONE])[0].keypoints[0]
    side = 100 * 1.2
    wanted = [90 - side / 2 + 0.75 * side, 70 - side / 2 + 0.5 * side]
    np.testing.assert_allclose(points[:, :2], np.tile(wanted, (17, 1)), atol=side / 16)
    np.testing.assert_allclose(points[:, 2], 0.9, atol=1e-5)
    assert pose([frame()], [Detections.empty()])[0].keypoints.shape == (0, 17, 3)


def test_oblong_inputs_are_cut_from_the_middle_of_the_crop(tmp_path: Path) -> None:
    heatmaps = np.zeros((1, 17, 16, 12))
    heatmaps[:, :, 8, 6] = 1
    pose = OnnxPose(graph(tmp_path / "pose.onnx", {"out": heatmaps}, (1, 3, 64, 48)), context=1.0)
    np.testing.assert_allclose(pose([frame()], [ONE])[0].keypoints[0, :, :2], np.tile([90, 70], (17, 1)), atol=6)


def test_graphs_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx: pose graph not found"):
        OnnxPose(tmp_path / "none.onnx", 1.0)
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(InputError, match=r"text\.onnx: not a readable ONNX"):
        OnnxPose(tmp_path / "text.onnx", 1.0)
    batch = graph(tmp_path / "batch.onnx", {"out": np.zeros((1, 17, 3))}, (4, 3, 64, 64))
    with pytest.raises(InputError, match="expected one image of fixed size"):
        OnnxPose(batch, 1.0)
    other = graph(tmp_path / "other.onnx", {"out": np.zeros((1, 21, 3))})
    with pytest.raises(InputError, match=r"outputs \[\(1, 21, 3\)\]; expected"):
        OnnxPose(other, 1.0)([frame()], [ONE])
    with pytest.raises(InputError, match="expected"):
        read_keypoints([np.zeros((1, 17, 5)), np.zeros((1, 16, 5))], (64, 64), Path("a"))


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
    mirrored = mirror_crop(crop)
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

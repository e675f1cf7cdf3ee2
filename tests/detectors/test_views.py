"""Test-time augmentation: what several views of an image give together."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from builders import TINY_DETECTOR

from detectors.inputs import view_candidates
from detectors.networks.architectures import CascadeArchitecture
from detectors.networks.cascade_rcnn import CascadeRCNN
from detectors.parts import NetworkPartDetector, PartDetectorConfig
from detectors.persons import NetworkPersonDetector, PersonDetectorConfig
from detectors.suppression import Suppression
from parsing import PART_NAMES, Detections, Frame, InputError
from parsing.keypoints import COCO_SWAP
from parsing.networks import device_images
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.types import Poses
from parsing.vocabulary import flip_permutation

WIDTH = 96


def network(names: tuple[str, ...]) -> Any:
    torch.manual_seed(0)
    return CascadeRCNN(CascadeArchitecture(class_names=names, **TINY_DETECTOR)).eval()


def pictures() -> tuple[Frame, Frame]:
    """A picture and its mirror image."""
    image = np.random.default_rng(0).integers(0, 255, (64, WIDTH, 3), np.uint8)
    return Frame("a.png", 0, 0.0, image), Frame("b.png", 0, 0.0, np.ascontiguousarray(image[:, ::-1]))


def mirrored(boxes: np.ndarray) -> np.ndarray:
    return np.stack([WIDTH - boxes[..., 2], boxes[..., 1], WIDTH - boxes[..., 0], boxes[..., 3]], -1)


@pytest.mark.parametrize("method", ["nms", "soft_nms", "wbf"])
@pytest.mark.parametrize("scales", [(1.0,), (0.75, 1.25)])
def test_with_both_views_a_mirrored_image_gives_mirrored_persons(method: Any, scales: tuple[float, ...]) -> None:
    detector = NetworkPersonDetector(network(("person",)), "cpu", 0.0, Suppression(method), 10, scales=scales, flip=True)
    first, second = detector(pictures())
    assert len(first) == len(second) > 0
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-4)
    for box, score in zip(mirrored(first.xyxy), first.scores, strict=True):  # equal scores may come in either order
        near = second.xyxy[np.abs(second.scores - score) < 1e-4]
        assert np.abs(near - box).max(1).min() < 0.1


def test_with_both_views_a_mirrored_crop_gives_mirrored_parts_with_sides_swapped() -> None:
    detector = NetworkPartDetector(network(PART_NAMES), "cpu", np.zeros(10, np.float32), 4, flip=True)
    box = np.array([[10, 4, 60, 60]], np.float32)
    known = [Detections(boxes, np.ones(1), np.zeros(1)) for boxes in (box, mirrored(box))]
    first, second = detector(pictures(), known)
    swap = flip_permutation(PART_NAMES)
    np.testing.assert_allclose(first.scores[0], second.scores[0, swap], atol=1e-4)
    np.testing.assert_allclose(mirrored(first.xyxy[0]), second.xyxy[0, swap], atol=0.1)


def test_left_and_right_classes_change_places_in_a_mirrored_view() -> None:
    net, (first, second) = network(("left_shoe", "person", "right_shoe")), pictures()  # the second is the mirrored first
    plain, seen = (view_candidates(net, [picture], "cpu", 64, flip)[0][1] for picture, flip in ((second, False), (first, True)))
    torch.testing.assert_close(seen, plain[:, [2, 1, 0]])


def test_options_are_checked_and_reach_the_stage(tmp_path: Any) -> None:
    person, parts = network(("car", "person")), network(PART_NAMES)
    for name, net in (("person", person), ("parts", parts)):
        labels = {"classes": list(net.architecture.class_names)}
        save_weights(net, tmp_path / f"{name}.safetensors", WeightsHeader("cascade_rcnn", asdict(net.architecture), labels))
    weights = str(tmp_path / "person.safetensors")
    stage = PersonDetectorConfig("cascade_rcnn", weights, scales=(0.5, 1.0), flip=True, precision="bfloat16").build("cpu")
    assert len(stage.views) == 4
    assert stage.columns == [1]  # of two classes only persons are looked for
    assert (stage([pictures()[0]])[0].class_ids == 0).all()
    with pytest.raises(InputError, match=r"parts\.safetensors: detects head, .*; expected person"):
        PersonDetectorConfig("cascade_rcnn", str(tmp_path / "parts.safetensors")).build("cpu")
    with pytest.raises(InputError, match="unknown class 'left_wing'"):
        PartDetectorConfig("cascade_rcnn", str(tmp_path / "parts.safetensors"), score_thresholds={"left_wing": 0.5}).build("cpu")
    pose = {"name": "oracle", "recordings": "a.json"}
    with pytest.raises(InputError, match="these weights expect no pose stage"):
        PartDetectorConfig("cascade_rcnn", str(tmp_path / "parts.safetensors"), pose=pose).build("cpu")


class Joints:
    """A pose estimator that sees everybody's joints along a line through the picture."""

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        del frames
        line = np.stack([np.linspace(10, 60, 17), np.linspace(8, 56, 17), np.ones(17)], 1)
        return [Poses(np.stack([line] * len(found))) for found in persons]


def test_crops_with_joints_are_the_same_on_either_path(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net: Any = CascadeRCNN(CascadeArchitecture(class_names=PART_NAMES, heatmaps=17, **TINY_DETECTOR)).eval()
    seen: list[torch.Tensor] = []
    dense = net.dense
    monkeypatch.setattr(net, "dense", lambda images: seen.append(images.clone()) or dense(images))
    detector = NetworkPartDetector(net, "cpu", np.zeros(10, np.float32), 4, flip=True, pose=Joints())
    persons = [Detections(np.array([[10, 4, 60, 60], [30, 4, 70, 50]], np.float32), np.ones(2), np.zeros(2))]
    for there in (False, True):
        monkeypatch.setattr(device_images, "made_on", lambda _, there=there: there)
        detector(pictures()[:1], persons)
    host, device = seen[:2], seen[2:]  # plain and mirrored
    assert [len(images) for images in seen] == [2] * 4
    for one, other in zip(host, device, strict=True):
        assert one.is_contiguous(memory_format=torch.channels_last)
        assert other.is_contiguous(memory_format=torch.channels_last)
        assert (one[:, :3].int() - other[:, :3].int()).abs().max() <= 8  # of noise, see tests/parsing/networks/test_device_images.py
        assert torch.equal(one[:, 3:], other[:, 3:])
        assert one[:, 3:].any()
    assert torch.equal(host[1][:, 3:], host[0].flip(3)[:, 3:][:, list(COCO_SWAP)])

"""What tests build: skeletons, small videos, parses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import yaml

from detectors.networks.architectures import CascadeArchitecture
from detectors.networks.cascade_rcnn import CascadeRCNN
from parsing.datasets.records import ImageRecord, ObjectRecord
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.pose import pose_vocabulary
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.types import Array, Detections, Frame, FrameParse, Parts, PartStates
from parsing.vocabulary import PART_NAMES
from recognizers.labels import ActionLabels
from recognizers.networks.tsm import TSM, TSMArchitecture

VOCABULARY = pose_vocabulary(("run", "walk"))


def skeleton(**moved: tuple[float, float]) -> Array:
    """(17, 3) COCO keypoints of a person 200 px tall who faces the camera, arms down; joints named in `moved` go elsewhere."""
    joints = {
        "nose": (100, 20), "left_eye": (105, 16), "right_eye": (95, 16), "left_ear": (110, 19), "right_ear": (90, 19),
        "left_shoulder": (120, 45), "right_shoulder": (80, 45), "left_elbow": (124, 78), "right_elbow": (76, 78),
        "left_wrist": (126, 110), "right_wrist": (74, 110), "left_hip": (112, 105), "right_hip": (88, 105),
        "left_knee": (112, 150), "right_knee": (88, 150), "left_ankle": (112, 195), "right_ankle": (88, 195),
    }  # fmt: skip
    unknown = moved.keys() - joints.keys()
    assert not unknown, unknown
    return np.array([(*point, 2.0) for point in (joints | moved).values()], np.float32)


def box_around(keypoints: Array) -> Array:
    """(4,) person box with a margin."""
    return np.concatenate([keypoints[:, :2].min(0) - 12, keypoints[:, :2].max(0) + 12]).astype(np.float32)


def ramp(index: int, hw: tuple[int, int] = (48, 64)) -> Array:
    """A flat picture whose grey tells its index: 10 + 8 * index."""
    return np.full((*hw, 3), 10 + 8 * index, np.uint8)


def write_video(
    path: Path,
    pictures: Sequence[Array],
    fps: int = 10,
    times_ms: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """A small video; with `times_ms`, each picture has its own presentation time."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_clips(root: Path) -> Path:
    """Dark and bright videos, four of each to train on and one to validate."""
    root.mkdir()
    rows = ["file,label,split,scene_disjoint,for_shipped_weights"]
    for label, level in (("dark", 40), ("bright", 210)):
        for i in range(5):
            name = f"{label}{i}.mp4"
            write_video(root / name, [np.full((48, 64, 3), level + 3 * i, np.uint8)] * 6)
            rows.append(f"{name},{label},{'val' if i == 4 else 'train'},{'yes' if label == 'dark' else 'no'},yes")
    for name, label, trainable in (("none.mp4", "dark", "no"), ("lonely.mp4", "lonely", "yes")):
        write_video(root / name, [np.full((48, 64, 3), 99, np.uint8)] * 3)
        rows.append(f"{name},{label},train,yes,{trainable}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def frame(index: int = 0, video: str = "a.mp4", hw: tuple[int, int] = (240, 320), time_s: float | None = None) -> Frame:
    return Frame(video, index, index / 10 if time_s is None else time_s, np.zeros((*hw, 3), np.uint8))


def frame_parse(
    index: int,
    boxes: Sequence[Sequence[float]],
    track_ids: Sequence[int] | None = None,
    time_s: float | None = None,
    key: bool = True,
    seed: int = 0,
) -> FrameParse:
    """Persons with all parts but the last visible, and repeatable states."""
    n, (p, s) = len(boxes), VOCABULARY.allowed.shape
    random = np.random.default_rng(seed)
    xyxy = np.array(boxes, np.float32).reshape(n, 4)
    visible = np.ones((n, p), bool)
    visible[:, -1] = False
    parts = np.repeat(xyxy[:, None], p, 1) * visible[..., None]
    states = random.random((n, p, s)).round(3) * VOCABULARY.allowed * visible[..., None]
    ids = np.arange(1, n + 1) if track_ids is None else np.array(track_ids, int)
    parts_found = Parts(parts, visible * 0.75, visible)
    persons = Detections(xyxy, np.linspace(0.9, 0.5, n), np.zeros(n), ids)
    at_s = index / 10 if time_s is None else time_s
    return FrameParse(index, at_s, persons, parts_found, PartStates(states), key)


def only_persons(index: int, persons: Detections, time_s: float | None = None) -> FrameParse:
    """A key frame of these persons, with no visible part."""
    n, (p, s) = len(persons), VOCABULARY.allowed.shape
    at_s = index / 10 if time_s is None else time_s
    return FrameParse(index, at_s, persons, Parts.empty(n, p), PartStates.empty(n, p, s))


def painted_person(folder: Path, name: str, keypoints: np.ndarray) -> ImageRecord:
    """A picture of a person as a coloured block with dots at the joints, written into `folder`."""
    image = np.full((220, 200, 3), 190, np.uint8)
    x0, y0, x1, y1 = box_around(keypoints).astype(int)
    image[max(0, y0) : y1, max(0, x0) : x1] = (40, 90, 170)
    for x, y, _ in keypoints.astype(int):
        cv2.circle(image, (int(x), int(y)), 5, (220, 60, 60), -1)
    cv2.imwrite(str(folder / name), image)
    return ImageRecord(folder / name, (220, 200), (ObjectRecord(box_around(keypoints).clip(0, 200), keypoints),), "made")


TINY_DETECTOR: dict[str, Any] = {
    "backbone": "test_efficientnet",
    "levels": (1, 2),
    "fpn_channels": 8,
    "anchor_sizes": ((16.0,), (32.0,), (64.0,)),
    "hidden": 16,
    "input_px": 64,
    "proposals": 20,
    "rois": 16,
}


def write_bias_network(path: Path, labels: ActionLabels, biases: Sequence[float], num_segments: int = 2) -> Path:
    """Weights of a tiny TSM whose logits are `biases` whatever it sees."""
    architecture = {"backbone": "test_resnet", "level": 2, "num_segments": num_segments, "input_px": 32}
    network = TSM(TSMArchitecture(**architecture), len(biases))  # type: ignore[arg-type]
    with torch.no_grad():
        network.classifier.weight.zero_()
        network.classifier.bias.copy_(torch.tensor(biases))
    save_weights(network, path, WeightsHeader("tsm", architecture, labels.to_header()))
    return path


def write_tiny_pipeline(folder: Path) -> Path:
    """Real, small, untrained networks for every stage, and a pipeline config that names their weights.

    Thresholds are 0, so that there is always somebody to pass on.
    """
    torch.manual_seed(0)
    person = CascadeArchitecture(class_names=("person",), **TINY_DETECTOR)
    part = CascadeArchitecture(class_names=PART_NAMES, **TINY_DETECTOR)
    states = PartStateArchitecture("test_efficientnet", part_level=1, person_level=2, input_px=64, dim=16, heads=2)
    tsm = TSMArchitecture("test_resnet", level=2, num_segments=2, input_px=32)
    allowed = torch.from_numpy(VOCABULARY.allowed)
    networks = {
        "person": (CascadeRCNN(person), WeightsHeader("cascade_rcnn", asdict(person), {"classes": ["person"]})),
        "part": (CascadeRCNN(part), WeightsHeader("cascade_rcnn", asdict(part), {"classes": list(PART_NAMES)})),
        "states": (PartStateNet(states, allowed, 2), WeightsHeader("part_state_net", asdict(states), VOCABULARY.to_json())),
        "tsm": (TSM(tsm, 2), WeightsHeader("tsm", asdict(tsm), {"actions": list(VOCABULARY.actions)})),
    }
    for name, (network, header) in networks.items():
        save_weights(network, folder / f"{name}.safetensors", header)
    settings = {
        "person_detector": {
            "name": "cascade_rcnn", "weights": str(folder / "person.safetensors"), "score_threshold": 0.0, "max_persons": 3,
        },
        "tracker": {"name": "bytetrack", "new_score": 0.0, "high_score": 0.0},
        "part_detector": {"name": "cascade_rcnn", "weights": str(folder / "part.safetensors"), "score_threshold": 0.0},
        "part_states": {"name": "part_state_net", "weights": str(folder / "states.safetensors")},
        "recognizers": [{"name": "tsm", "weights": str(folder / "tsm.safetensors")}],
        "every": 2,
        "batch": 2,
    }  # fmt: skip
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path

"""Detection networks as the pipeline's part detector, and parts by rule from a pose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import box_iou

from detectors import POSE_ESTIMATORS
from detectors.heatmaps import keypoint_heatmaps
from detectors.inputs import find_candidates, mirror_boxes, pad_batch, padded_px
from detectors.networks import DetectionNetwork, NetworkName, load_network
from detectors.suppression import class_thresholds
from parsing.batching import BatchSize
from parsing.configs import Choice, Count, Share, StageConfig, config
from parsing.errors import InputError
from parsing.geometry import Crop, clip_boxes
from parsing.keypoints import COCO_SWAP, coco_keypoints
from parsing.networks.device_images import crop_images
from parsing.networks.pieces import run_on
from parsing.networks.placing import PrecisionChoice, chosen_precision, short_after, to_device
from parsing.networks.runtimes import Precision, Runtime
from parsing.networks.weights import model_facts, weights_path
from parsing.pose import part_boxes
from parsing.stages import PoseEstimator
from parsing.types import Array, Detections, Frame, ModelFacts, Parts, Poses
from parsing.vocabulary import PART_NAMES, flip_permutation

PoseChoice = Annotated[StageConfig, Choice(POSE_ESTIMATORS)]


@config
class PartDetectorConfig:
    """Options of the part detector at run time.

    Args:
        score_thresholds: of single parts, where they differ from `score_threshold`.
        batch_size: person crops that go through the network together.
        scales: factors on the crop's width; each is a view of its own (test-time augmentation).
        flip: also look at the mirrored crop, left and right swapped.
        precision: see `parsing.networks.placing`; bfloat16 is faster on processors and GPUs that have it, and moves boxes a little.
        runtime: what computes the network, see `parsing.networks.pieces`; `auto` is OpenVINO on CPUs, PyTorch on GPUs.
        pose: config of the pose estimator whose keypoints weights with heatmaps ask for.
    """

    name: NetworkName
    weights: str = "default/part_detector"
    score_threshold: Share = 0.25
    score_thresholds: dict[str, Share] = field(default_factory=dict)
    batch_size: Count = 16
    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=4)], ...], Field(min_length=1)] = (1.0,)
    flip: bool = False
    precision: PrecisionChoice = "auto"
    runtime: Runtime = "auto"
    pose: PoseChoice | None = None

    @property
    def in_threads(self) -> bool:
        """Whether the component may be called in several threads at a time; nobody knows it of other people's poses."""
        return self.pose is None

    def build(self, device: str) -> NetworkPartDetector:
        network = load_network(self.name, self.weights, None, device)
        if bool(network.architecture.heatmaps) != (self.pose is not None):
            wanted = "a pose stage: set part_detector.pose" if self.pose is None else "no pose stage: remove part_detector.pose"
            raise InputError(f"{weights_path(self.weights)}: these weights expect {wanted}")
        pose = None if self.pose is None else self.pose.build(device)
        precision = chosen_precision(self.precision, self.runtime, device, self.weights)
        side_px = padded_px(network.architecture.input_px)
        pieces = [piece.of_size(side_px, side_px) for piece in network.pieces()]
        runtime = run_on(network, pieces, self.runtime, device, precision, "part_detector", short_after(self.weights))
        thresholds = class_thresholds(network.architecture.class_names, self.score_threshold, self.score_thresholds)
        return NetworkPartDetector(
            network,
            device,
            thresholds,
            self.batch_size,
            self.scales,
            self.flip,
            precision,
            pose,
            facts=model_facts("part_detector", replace(self, runtime=runtime, precision=precision), self.weights),
        )


@config
class KeypointPartsConfig:
    """Parts by rule from the keypoints of a pose estimator; joints that score below the threshold are not seen."""

    name: Literal["keypoints"]
    pose: PoseChoice
    score_threshold: Share = 0.2

    def build(self, device: str) -> KeypointPartDetector:
        return KeypointPartDetector(self.pose.build(device), self.score_threshold, facts=model_facts("part_detector", self))


@dataclass(frozen=True)
class _Seen:
    """A person of a frame: box (4,) px, and 17 keypoints where a pose estimator gave them."""

    frame: Frame
    xyxy: Array
    keypoints: Array | None


def _seen(frame: Frame, persons: Detections, poses: Poses | None) -> list[_Seen]:
    keypoints = [None] * len(persons) if poses is None else coco_keypoints(poses.keypoints)
    return [_Seen(frame, box, points) for box, points in zip(persons.xyxy, keypoints, strict=True)]


class NetworkPartDetector:
    """Top-down: every person is cropped, its parts are detected, and at most one box per part is kept."""

    def __init__(
        self,
        network: DetectionNetwork,
        device: str,
        thresholds: Array,
        batch_size: int,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        precision: Precision = "float32",
        pose: PoseEstimator | None = None,
        facts: ModelFacts = ModelFacts("part_detector", "cascade_rcnn", None, "{}"),
    ) -> None:
        self.facts = facts
        self.network, self.device, self.precision, self.pose = network, device, precision, pose
        self.thresholds, self.batches = thresholds, BatchSize("part_detector", batch_size)
        self.views = [(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))]
        self.part_names, self.swap = network.architecture.class_names, network.architecture.swap

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        poses = self.pose(frames, persons) if self.pose else [None] * len(frames)
        groups = [_seen(frame, found, pose) for frame, found, pose in zip(frames, persons, poses, strict=True)]
        return [self._collect(rows) for rows in self.batches.map_groups(self._rows, groups, together=self.device != "cpu")]

    def _rows(self, some: Sequence[_Seen]) -> Iterator[tuple[Array, Array]]:
        """(P, 4) boxes and (P,) scores of each person."""
        views = [self._view(some, scale, flip) for scale, flip in self.views]
        of_persons = ((torch.cat(column) for column in zip(*candidates, strict=True)) for candidates in zip(*views, strict=True))
        best = [best_per_class(boxes, scores) for boxes, scores in of_persons]
        found = (torch.stack(column).cpu().numpy() for column in zip(*best, strict=True))  # of all persons in one copy
        for seen, boxes, scores in zip(some, *found, strict=True):
            yield clip_boxes(boxes, seen.frame.image_hw), scores

    def _view(self, some: Sequence[_Seen], scale: float, flip: bool) -> list[tuple[Tensor, Tensor]]:
        """Candidates of each person in pixels of the frame, from crops of one width, mirrored or not."""
        a = self.network.architecture
        crops = [Crop.around(seen.xyxy, a.input_px, a.context * scale) for seen in some]
        images = crop_images([seen.frame.image for seen in some], crops, self.device)
        for i, (crop, seen) in enumerate(zip(crops, some, strict=True)):
            if seen.keypoints is not None:
                maps = keypoint_heatmaps(crop.points_to_crop(seen.keypoints), a.input_px)
                images[i] = torch.cat([images[i], to_device(maps, self.device)], 2)
        batch, sizes = pad_batch([mirror_crop(image) if flip else image for image in images])
        origins = to_device(np.array([[crop.left, crop.top] * 2 for crop in crops], np.float32), self.device)
        found, swap = [], torch.from_numpy(self.swap)
        columns = zip(crops, origins, find_candidates(self.network, batch, sizes, self.precision), strict=True)
        for crop, origin, (candidates, scores) in columns:
            boxes = mirror_boxes(candidates, a.input_px) if flip else candidates
            found.append((boxes * (crop.side_px / crop.size) + origin, scores[:, swap] if flip else scores))
        return found

    def _collect(self, rows: list[tuple[Array, Array]]) -> Parts:
        if not rows:
            return Parts.empty(0, len(self.part_names))
        boxes, scores = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
        return visible_parts(boxes, scores, scores >= self.thresholds)


class KeypointPartDetector:
    """Part boxes by the rules of `parsing.pose` around the keypoints of a pose estimator.

    The second place of Kinetics-TPS 2021 gained 8.1 points by pose-guided parts.
    """

    part_names, swap = PART_NAMES, flip_permutation(PART_NAMES)

    def __init__(
        self, pose: PoseEstimator, score_threshold: float, facts: ModelFacts = ModelFacts("part_detector", "keypoints", None, "{}")
    ) -> None:
        self.facts = facts
        self.pose, self.score_threshold = pose, score_threshold

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        poses = self.pose(frames, persons)
        return [self._of_frame(f, p, k.keypoints) for f, p, k in zip(frames, persons, poses, strict=True)]

    def _of_frame(self, frame: Frame, persons: Detections, keypoints: Array) -> Parts:
        parts = Parts.empty(len(persons), len(PART_NAMES))
        for i, (box, points) in enumerate(zip(persons.xyxy, keypoints, strict=True)):
            seen = np.where(points[:, 2:] >= self.score_threshold, 2.0, 0.0)
            boxes, visible = part_boxes(np.concatenate([points[:, :2], seen], 1), box)
            score = float(coco_keypoints(points)[:, 2].clip(0, 1).mean())
            found = visible_parts(clip_boxes(boxes, frame.image_hw)[None], np.full((1, len(PART_NAMES)), score), visible[None])
            parts.xyxy[i], parts.scores[i], parts.visible[i] = found.xyxy[0], found.scores[0], found.visible[0]
        return parts


def visible_parts(boxes: Array, scores: Array, visible: Array) -> Parts:
    """Parts (N, P) of which those that are hidden or have no area are zeros."""
    visible = visible & ((boxes[..., 2:] - boxes[..., :2]).min(-1) > 0)
    return Parts(boxes * visible[..., None], scores * visible, visible)


def mirror_crop(image: Tensor) -> Tensor:
    """A crop (S, S, 3 or 3 + 17) mirrored, with the heatmaps of left and right joints swapped."""
    mirrored = image.flip(1)
    if image.shape[2] == 3:
        return mirrored
    return torch.cat([mirrored[..., :3], mirrored[..., 3:][..., list(COCO_SWAP)]], 2)


def best_per_class(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """For each class the best box, averaged with the boxes that agree with it, weighted by score and by overlap past IoU 0.6.

    The weight fades to zero at the limit, so that the last digits of an overlap decide nothing.

    Args:
        boxes: (R, 4) px.
        scores: (R, C).

    Returns:
        (C, 4) boxes and (C,) scores; zeros without proposals.
    """
    num_classes = scores.shape[1]
    if len(boxes) == 0:
        return boxes.new_zeros((num_classes, 4)), scores.new_zeros(num_classes)
    best_scores, best = scores.max(0)
    agree = ((box_iou(boxes, boxes[best]) - 0.6) / 0.4).clamp(min=0) * scores  # (R, C)
    agree[best, torch.arange(num_classes, device=best.device)] = best_scores  # a degenerate box overlaps nothing, itself included
    weights = agree / agree.sum(0).clamp(min=1e-9)
    return weights.T @ boxes, best_scores.clamp(0, 1)

"""Any top-down mmpose model as pose estimator."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np

from parsing.batching import BatchSize
from parsing.configs import config
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.keypoints import COCO_NAMES, LAYOUTS, counts_text
from parsing.networks.openmmlab import fill, read_config, stand_in_for_imgaug
from parsing.networks.weights import model_facts
from parsing.stages import PoseEstimator
from parsing.types import Array, Detections, Frame, ModelFacts, Poses


@config
class MMPoseConfig:
    """An mmpose model.

    Args:
        config: name of a config that mmpose ships, or a YAML or JSON dump.
        weights: its checkpoint, tensors only.
    """

    name: Literal["mmpose"]
    config: str
    weights: str

    def build(self, device: str) -> PoseEstimator:
        import_extra("mmengine", "openmmlab")  # what is missing is told before the file is looked at
        return MMPose(self.config, self.weights, device, facts=model_facts("pose", self, self.weights))


class MMPose:
    """Keypoints of every person, from the model's own crops."""

    def __init__(self, config_name: str, weights: str, device: str, facts: ModelFacts = ModelFacts("pose", "mmpose", None, "{}")) -> None:
        self.facts = facts
        stand_in_for_imgaug()  # mmpose imports mmdet where that is installed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmpose warns of optional parts of its own
            self._apis = import_extra("mmpose.apis", "openmmlab")
            settings = read_config(config_name, "mmpose")
            settings.model.backbone.init_cfg = None
            self.model = self._apis.init_model(settings, None, device=device)
        fill(self.model, weights)
        self.batches = BatchSize("pose", sys.maxsize)

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        return [Poses(self._of_frame(frame, found.xyxy)) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, frame: Frame, boxes: Array) -> Array:
        image = np.ascontiguousarray(frame.image[:, :, ::-1])
        found = self.batches.map(lambda some: self._of_persons(image, np.stack(some)), list(boxes))
        return np.stack(found) if found else np.zeros((0, len(COCO_NAMES), 3), np.float32)

    def _of_persons(self, image: Array, boxes: Array) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._apis.inference_topdown(self.model, image, boxes)
        points = np.stack([np.asarray(item.pred_instances.keypoints)[0] for item in found])
        scores = np.stack([np.asarray(item.pred_instances.keypoint_scores)[0] for item in found])
        if points.shape[1] not in LAYOUTS:
            raise InputError(f"mmpose model gives {points.shape[1]} keypoints, expected {counts_text()}")
        return np.concatenate([points[..., :2], scores[..., None].clip(0, 1)], 2).astype(np.float32)

"""Detectors and poses of Hugging Face's transformers, from model folders: RT-DETRv2, D-FINE, RF-DETR, DETR, ViTPose, …"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from parsing.batching import BatchSize
from parsing.configs import Count, Share, config
from parsing.datasets.records import PERSON
from parsing.errors import InputError
from parsing.geometry import clip_boxes
from parsing.keypoints import LAYOUTS, counts_text
from parsing.networks.hugging_face import folder_facts, load_model, model_folder
from parsing.stages import PersonDetector, PoseEstimator
from parsing.types import Array, Detections, Frame, ModelFacts, Poses


@config
class TransformersPersonsConfig:
    """Any detector that `AutoModelForObjectDetection` knows.

    Args:
        weights: a model folder, or a model id of Hugging Face.
        allow_network: a model id may be fetched; without, nothing ever is.
    """

    name: Literal["transformers"]
    weights: str
    score_threshold: Share = 0.3
    max_persons: Count = 50
    allow_network: bool = False

    def build(self, device: str) -> PersonDetector:
        folder = model_folder(self.weights, self.allow_network)
        model, processor = load_model(folder, "AutoModelForObjectDetection", "AutoImageProcessor", device)
        names: dict[int, str] = model.config.id2label  # type: ignore[assignment, union-attr]
        person = next((number for number, name in names.items() if name.lower() == PERSON), None)
        if person is None:
            raise InputError(f"{folder}: detects {', '.join(names.values()):.100}; expected {PERSON}")
        facts = folder_facts("person_detector", self, folder)
        return TransformersPersons(model, processor, person, device, self.score_threshold, self.max_persons, facts)


@config
class TransformersPoseConfig:
    """A ViTPose network.

    Args:
        dataset_index: of ViTPose+, which expert looks: 0 COCO, 1 AIC, 2 MPII, 3 AP-10K, 4 APT-36K, 5 COCO-WholeBody.
    """

    name: Literal["transformers"]
    weights: str
    dataset_index: Annotated[int, Field(ge=0, le=5)] = 0
    batch_size: Count = 16
    allow_network: bool = False

    def build(self, device: str) -> PoseEstimator:
        folder = model_folder(self.weights, self.allow_network)
        model, processor = load_model(folder, "VitPoseForPoseEstimation", "AutoImageProcessor", device)
        count = int(model.config.num_labels)  # type: ignore[union-attr, arg-type]
        if count not in LAYOUTS:
            raise InputError(f"{folder}: gives {count} keypoints, expected {counts_text()}")
        return TransformersPose(model, processor, count, self.dataset_index, device, self.batch_size, folder_facts("pose", self, folder))


class TransformersPersons:
    """Persons of whole frames, best first. These networks find each object once, so nothing is suppressed.

    Args:
        person: number of the class.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        person: int,
        device: str,
        score_threshold: float,
        max_persons: int,
        facts: ModelFacts = ModelFacts("person_detector", "transformers", None, "{}"),
    ) -> None:
        self.model, self.processor, self.person, self.device, self.facts = model, processor, person, device, facts
        self.score_threshold, self.max_persons = score_threshold, max_persons
        self.batches = BatchSize("person_detector", 1 if device == "cpu" else 8)

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        return self.batches.map(self._detect, frames)

    @torch.inference_mode()
    def _detect(self, frames: Sequence[Frame]) -> list[Detections]:
        inputs = self.processor(images=[frame.image for frame in frames], return_tensors="pt").to(self.device)
        sizes = [frame.image_hw for frame in frames]
        found = self.processor.post_process_object_detection(self.model(**inputs), threshold=self.score_threshold, target_sizes=sizes)
        return [self._select(frame, item) for frame, item in zip(frames, found, strict=True)]

    def _select(self, frame: Frame, found: dict[str, torch.Tensor]) -> Detections:
        boxes, scores, labels = (found[name].cpu().numpy() for name in ("boxes", "scores", "labels"))
        kept = np.flatnonzero(labels == self.person)
        kept = kept[np.argsort(-scores[kept], kind="stable")][: self.max_persons]
        return Detections(clip_boxes(boxes[kept], frame.image_hw), scores[kept].clip(0, 1), np.zeros(len(kept)))


class TransformersPose:
    """Top-down: keypoints of every person from the processor's own crops."""

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        num_joints: int,
        dataset_index: int,
        device: str,
        batch_size: int = 16,
        facts: ModelFacts = ModelFacts("pose", "transformers", None, "{}"),
    ) -> None:
        self.model, self.processor, self.num_joints, self.device, self.facts = model, processor, num_joints, device, facts
        self.dataset_index, self.batches = dataset_index, BatchSize("pose", batch_size)

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        return [Poses(self._of_frame(frame.image, found.xyxy)) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, image: Array, boxes: Array) -> Array:
        found = self.batches.map(lambda some: self._of_persons(image, np.stack(some)), list(boxes))
        return np.stack(found) if found else np.zeros((0, self.num_joints, 3), np.float32)

    @torch.inference_mode()
    def _of_persons(self, image: Array, xyxy: Array) -> list[Array]:
        """(K, 3) of each of some persons."""
        xywh = [np.concatenate([xyxy[:, :2], np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1)], 1)]
        pixels = self.processor(images=[image], boxes=xywh, return_tensors="pt")["pixel_values"].to(self.device)
        outputs = self.model(pixel_values=pixels, dataset_index=torch.full((len(xyxy),), self.dataset_index, device=self.device))
        (found,) = self.processor.post_process_pose_estimation(outputs, boxes=xywh)
        return [torch.cat([one["keypoints"], one["scores"][:, None].clamp(0, 1)], 1).float().cpu().numpy() for one in found]

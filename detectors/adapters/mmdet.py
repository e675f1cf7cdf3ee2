"""Any mmdet detector as person detector or part detector."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from detectors.networks.conversion import class_names_of
from detectors.parts import visible_parts
from detectors.suppression import Boxes, class_thresholds
from parsing.configs import Count, Share, config
from parsing.datasets.records import PERSON
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.geometry import Crop, clip_boxes
from parsing.networks.openmmlab import fill, read_config, stand_in_for_imgaug
from parsing.networks.weights import model_facts
from parsing.stages import PartDetector, PersonDetector
from parsing.types import Array, Detections, Frame, ModelFacts, Parts
from parsing.vocabulary import flip_permutation


@config
class MMDetPersonsConfig:
    """An mmdet detector of persons.

    Args:
        config: name of a config that mmdet ships (`rtmdet/rtmdet_tiny_8xb32-300e_coco.py`), or a YAML or JSON dump.
        weights: its checkpoint, tensors only.
        classes: class names in the model's order, where the checkpoint does not say them.
    """

    name: Literal["mmdet"]
    config: str
    weights: str
    classes: tuple[str, ...] = ()
    score_threshold: Share = 0.3
    max_persons: Count = 50

    def build(self, device: str) -> PersonDetector:
        model = MMDetModel(self.config, self.weights, self.classes, device)
        if PERSON not in model.class_names:
            raise InputError(f"{self.weights}: detects {', '.join(model.class_names)}; expected {PERSON}")
        return MMDetPersons(model, self.score_threshold, self.max_persons, facts=model_facts("person_detector", self, self.weights))


@config
class MMDetPartsConfig:
    """An mmdet detector of parts in crops of persons; fields as `MMDetPersonsConfig`.

    Args:
        context: side of the square crop over the longer side of the person's box.
        crop_px: side of the crop in pixels; the model's own test pipeline resizes it.
    """

    name: Literal["mmdet"]
    config: str
    weights: str
    classes: tuple[str, ...] = ()
    score_threshold: Share = 0.25
    score_thresholds: dict[str, Share] = field(default_factory=dict)
    context: Annotated[float, Field(gt=0, le=10)] = 1.2
    crop_px: Annotated[int, Field(ge=32, le=4096)] = 320

    def build(self, device: str) -> PartDetector:
        model = MMDetModel(self.config, self.weights, self.classes, device)
        thresholds = class_thresholds(model.class_names, self.score_threshold, self.score_thresholds)
        return MMDetParts(model, thresholds, self.context, self.crop_px, facts=model_facts("part_detector", self, self.weights))


class MMDetModel:
    """An mmdet model with its test pipeline."""

    def __init__(self, config_name: str, weights: str, classes: Sequence[str], device: str) -> None:
        stand_in_for_imgaug()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmdet warns of optional parts of its own
            self._apis = import_extra("mmdet.apis", "openmmlab")
            settings = read_config(config_name, "mmdet")
            settings.model.backbone.init_cfg = None  # its weights come from the checkpoint, not from a network
            self.model = self._apis.init_detector(settings, None, device=device)
        meta: Mapping[str, Any] = fill(self.model, weights)
        head = getattr(self.model, "bbox_head", None) or self.model.roi_head.bbox_head
        num_classes = (head[0] if hasattr(head, "__getitem__") else head).num_classes
        self.class_names = class_names_of(meta, num_classes, classes)

    def __call__(self, image: Array) -> Boxes:
        """Boxes (K, 4) px, scores and class ids found in an (H, W, 3) RGB image, after mmdet's own suppression."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = self._apis.inference_detector(self.model, np.ascontiguousarray(image[:, :, ::-1])).pred_instances
        return found.bboxes.cpu().numpy(), found.scores.cpu().numpy().clip(0, 1), found.labels.cpu().numpy()


class MMDetPersons:
    """Persons of whole frames, best first."""

    def __init__(
        self,
        model: MMDetModel,
        score_threshold: float,
        max_persons: int,
        facts: ModelFacts = ModelFacts("person_detector", "mmdet", None, "{}"),
    ) -> None:
        self.facts = facts
        self.model, self.score_threshold, self.max_persons = model, score_threshold, max_persons

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._of_frame(frame) for frame in frames]

    def _of_frame(self, frame: Frame) -> Detections:
        boxes, scores, classes = self.model(frame.image)
        kept = np.flatnonzero((classes == self.model.class_names.index(PERSON)) & (scores >= self.score_threshold))
        kept = kept[np.argsort(-scores[kept], kind="stable")][: self.max_persons]
        return Detections(clip_boxes(boxes[kept], frame.image_hw), scores[kept], np.zeros(len(kept)))


class MMDetParts:
    """Top-down: every person is cropped, and of each part the best box is kept."""

    def __init__(
        self,
        model: MMDetModel,
        thresholds: Array,
        context: float,
        crop_px: int,
        facts: ModelFacts = ModelFacts("part_detector", "mmdet", None, "{}"),
    ) -> None:
        self.facts = facts
        self.model, self.thresholds, self.context, self.crop_px = model, thresholds, context, crop_px
        self.part_names, self.swap = model.class_names, flip_permutation(model.class_names)

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        return [self._of_frame(frame, found.xyxy) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, frame: Frame, persons: Array) -> Parts:
        shape = len(persons), len(self.part_names)
        boxes, scores = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32)
        for i, person in enumerate(persons):
            crop = Crop.around(person, self.crop_px, self.context)
            for box, score, part in zip(*self.model(crop.pixels(frame.image)), strict=True):
                if score > scores[i, part]:
                    boxes[i, part], scores[i, part] = clip_boxes(crop.to_image(box), frame.image_hw), score
        return visible_parts(boxes, scores, scores >= np.maximum(self.thresholds, 1e-6))

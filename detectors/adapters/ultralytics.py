"""Ultralytics' YOLO as person detector or pose estimator. AGPL-3.0: an extra, never a dependency."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from parsing.configs import Count, Share, config
from parsing.datasets.records import PERSON
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.geometry import box_ious, clip_boxes
from parsing.networks.checkpoints import check_unpacked
from parsing.networks.weights import model_facts
from parsing.stages import PersonDetector, PoseEstimator
from parsing.types import Array, Detections, Frame, ModelFacts, Poses

log = logging.getLogger(__name__)
NMS_IOU = 0.6
MIN_OVERLAP = 0.3  # of a pose's box with the person that it belongs to


@config
class UltralyticsPersonsConfig:
    """A YOLO detector (`yolo11n.pt`, `yolo26n.pt`, …); the file must be on disk, nothing is downloaded.

    Args:
        nms_iou: overlap from which the worse of two boxes is dropped; None is 0.6. Networks without suppression (YOLOv10,
            YOLO26) do not use it.
    """

    name: Literal["ultralytics"]
    weights: str
    score_threshold: Share = 0.3
    nms_iou: Share | None = None
    max_persons: Count = 50
    input_px: Annotated[int, Field(ge=64, le=4096)] = 640

    def build(self, device: str) -> PersonDetector:
        model = load_yolo(self.weights)
        if PERSON not in model.names.values():
            raise InputError(f"{self.weights}: detects {', '.join(model.names.values())}; expected {PERSON}")
        once = finds_once(model)
        if once and self.nms_iou is not None:
            log.warning("%s: a network that finds each object once; nms_iou is not used", self.weights)
        suppression = {"nms": False} if once else {"iou": NMS_IOU if self.nms_iou is None else self.nms_iou}
        options = {"conf": self.score_threshold, "max_det": self.max_persons, "imgsz": self.input_px, **suppression}
        return UltralyticsPersons(
            model, {**options, "device": device, "verbose": False}, facts=model_facts("person_detector", self, self.weights)
        )


@config
class UltralyticsPoseConfig:
    """A YOLO pose network (`yolo11n-pose.pt`, …); each person takes the pose whose box overlaps most."""

    name: Literal["ultralytics"]
    weights: str
    score_threshold: Share = 0.1
    input_px: Annotated[int, Field(ge=64, le=4096)] = 640

    def build(self, device: str) -> PoseEstimator:
        model = load_yolo(self.weights)
        if model.task != "pose":
            raise InputError(f"{self.weights}: a YOLO of task {model.task!r}, expected 'pose'")
        options = {"conf": self.score_threshold, "imgsz": self.input_px, "device": device, "verbose": False}
        options |= {"nms": False} if finds_once(model) else {}
        return UltralyticsPose(model, options, facts=model_facts("pose", self, self.weights))


def load_yolo(weights: str) -> Any:
    """A YOLO from its `.pt` file, in which only modules of ultralytics and PyTorch may stand; nothing else is unpickled.

    Raises:
        InputError: the file is missing, no YOLO, or holds anything else.
    """
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    ultralytics = import_extra("ultralytics", "ultralytics")
    if not Path(weights).is_file():
        raise InputError(f"{weights}: weights not found; nothing is downloaded")
    try:
        check_unpacked(Path(weights))
        with torch.serialization.safe_globals(_allowed()):
            checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
        network = (checkpoint.get("ema") or checkpoint["model"]).float().eval()
    except Exception as error:  # torch.load fails in many ways on files that are not its own
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{weights}: not the weights of a YOLO, or they hold objects that are not loaded ({reason})") from None
    yolo = ultralytics.YOLO(f"yolo11n{'-pose' if hasattr(network, 'kpt_shape') else ''}.yaml", verbose=False)
    yolo.model = network
    return yolo


def finds_once(model: Any) -> bool:
    """Whether a YOLO has a head that finds each object once (YOLOv10, YOLO26), which is used then, with `nms` off."""
    return getattr(model.model.model[-1], "one2one_cv2", None) is not None


def _allowed() -> list[Any]:
    """The classes that a YOLO file is made of."""
    blocks = import_extra("ultralytics.nn.modules", "ultralytics")
    tasks = import_extra("ultralytics.nn.tasks", "ultralytics")
    utils = import_extra("ultralytics.utils", "ultralytics")
    found = [item for package in (blocks, tasks, torch.nn) for _, item in inspect.getmembers(package, inspect.isclass)]
    for module in vars(blocks).values():
        if inspect.ismodule(module) and module.__name__.startswith("ultralytics.nn.modules"):
            found += [item for _, item in inspect.getmembers(module, inspect.isclass)]
    return [item for item in {*found, utils.IterableSimpleNamespace} if issubclass(item, (torch.nn.Module, utils.IterableSimpleNamespace))]


class UltralyticsPersons:
    """Persons of whole frames, best first."""

    def __init__(
        self, model: Any, options: dict[str, Any], facts: ModelFacts = ModelFacts("person_detector", "ultralytics", None, "{}")
    ) -> None:
        self.facts = facts
        self.model, self.options = model, options
        self.person = next(i for i, name in model.names.items() if name == PERSON)

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        return [self._of_frame(frame) for frame in frames]

    def _of_frame(self, frame: Frame) -> Detections:
        found = self.model.predict(np.ascontiguousarray(frame.image[:, :, ::-1]), classes=[self.person], **self.options)[0].boxes
        boxes, scores = found.xyxy.cpu().numpy(), found.conf.cpu().numpy().clip(0, 1)
        order = np.argsort(-scores, kind="stable")
        return Detections(clip_boxes(boxes[order], frame.image_hw), scores[order], np.zeros(len(order)))


class UltralyticsPose:
    """Keypoints of the poses in a frame, given to the persons that they overlap."""

    def __init__(self, model: Any, options: dict[str, Any], facts: ModelFacts = ModelFacts("pose", "ultralytics", None, "{}")) -> None:
        self.facts = facts
        self.model, self.options = model, options

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        return [Poses(self._of_frame(frame, found.xyxy)) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, frame: Frame, persons: Array) -> Array:
        keypoints = np.zeros((len(persons), 17, 3), np.float32)
        found = self.model.predict(np.ascontiguousarray(frame.image[:, :, ::-1]), **self.options)[0]
        if len(persons) == 0 or found.keypoints is None or len(found.boxes) == 0:
            return keypoints
        overlap = box_ious(persons, found.boxes.xyxy.cpu().numpy())
        best = overlap.argmax(1)
        sure = overlap.max(1) >= MIN_OVERLAP
        keypoints[sure] = found.keypoints.data.cpu().numpy()[best[sure]]
        return keypoints

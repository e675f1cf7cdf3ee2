"""Training and evaluation of person and part detectors on COCO keypoint files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from detectors.cascade_rcnn import CascadeArchitecture, CascadeRCNN, Targets
from detectors.data import PartViews, PersonViews, collate
from detectors.metrics import BoxTruth, box_metrics
from detectors.stages import CascadePartDetector, CascadePersonDetector, load_cascade
from parsing.augment import read_image
from parsing.backbones import Pretrained
from parsing.coco import ImageRecord, read_coco
from parsing.configs import config
from parsing.errors import InputError
from parsing.pose import part_boxes
from parsing.training import FitConfig, RunFolder, fit
from parsing.types import Detections, Frame
from parsing.vocabulary import PART_NAMES
from parsing.weights import WeightsHeader, save_weights

log = logging.getLogger(__name__)
Share = Annotated[float, Field(ge=0, le=1)]


@config
class DetectionDataConfig:
    """COCO person_keypoints files under `root`, images under `root/images`.

    Args:
        sources: image sources to train on; empty takes all.
        source_weights: how often images of a source are drawn, relative to 1.
        rotation_deg, mosaic: of the random views; `mosaic` concerns persons alone.
        view_px: side of the training views; 0 takes the architecture's `input_px`.
    """

    root: str
    train: str = "annotations_train.json"
    val: str = "annotations_val.json"
    sources: tuple[str, ...] = ()
    source_weights: dict[str, float] = Field(default_factory=dict)
    rotation_deg: float = 8.0
    mosaic: Share = 0.25
    view_px: int = 0


@config
class TrainConfig:
    """A training of one detector; `target` says whether it finds persons in images or parts in person crops.

    Args:
        frozen_level: backbone weights up to this feature level stay as they are; -1 trains all.
        eval_every: epochs between evaluations; the last one is always evaluated.
    """

    name: Literal["cascade_rcnn"]
    target: Literal["persons", "parts"]
    architecture: CascadeArchitecture
    data: DetectionDataConfig
    fit: FitConfig
    pretrained: Pretrained = "imagenet"
    frozen_level: int = -1
    eval_every: int = 1

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; `weights.safetensors` holds the epoch of the best validation AP."""
        root = Path(self.data.root)
        records = read_coco(root / self.data.train, root / "images", self.data.sources)
        views = self._views(records)
        if len(views) == 0:
            raise InputError(f"{root / self.data.train}: no usable {self.target} for training")
        task = DetectionTask(CascadeRCNN(self.architecture, self.pretrained, self.frozen_level))
        val = read_coco(root / self.data.val, root / "images")
        run = RunFolder(out, asdict(self), resume)
        best = run.best("all", "AP")
        weights = self._sample_weights(views)
        for epoch in fit(task, views, collate, self.fit, run, sample_weights=weights, device=device, resume=resume, quiet=quiet):
            if (epoch.number + 1) % self.eval_every and epoch.number + 1 < self.fit.epochs:
                continue
            network = cast(DetectionTask, epoch.module).network
            metrics = evaluate_detector(network, val, self.target, device)
            run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **metrics})
            score = metrics["all"]["AP"] or 0.0
            log.info("epoch %d  AP %.4f  AP50 %.4f", epoch.number + 1, score, metrics["all"]["AP50"] or 0.0)
            if score > best:
                best = score
                save_weights(network, out / "weights.safetensors", self._header(metrics, epoch.number))

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """COCO figures on the validation file, for all images and for each source."""
        root = Path(self.data.root)
        network = load_cascade(weights, self.architecture.class_names, device)
        return evaluate_detector(network, read_coco(root / self.data.val, root / "images"), self.target, device)

    def _views(self, records: list[ImageRecord]) -> PersonViews | PartViews:
        size = self.data.view_px or self.architecture.input_px
        if self.target == "persons":
            return PersonViews(records, size, self.data.mosaic, self.data.rotation_deg)
        if self.architecture.class_names != PART_NAMES:
            raise InputError(f"architecture.class_names: found {self.architecture.class_names}, expected {PART_NAMES}")
        return PartViews(records, size, self.architecture.context, self.data.rotation_deg)

    def _sample_weights(self, views: PersonViews | PartViews) -> list[float] | None:
        if not self.data.source_weights:
            return None
        records = views.records if isinstance(views, PersonViews) else [record for record, _ in views.persons]
        return [self.data.source_weights.get(record.source, 1.0) for record in records]

    def _header(self, metrics: dict[str, Any], epoch: int) -> WeightsHeader:
        training = {"epoch": epoch, "fit": asdict(self.fit), "data": asdict(self.data), "pretrained": self.pretrained}
        return WeightsHeader("cascade_rcnn", asdict(self.architecture), {"classes": list(self.architecture.class_names)}, metrics, training)


class DetectionTask(nn.Module):
    """Named losses of a batch of uint8 images."""

    def __init__(self, network: CascadeRCNN) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: tuple[Tensor, list[Targets]]) -> dict[str, Tensor]:
        images, targets = batch
        scaled = images.float().div(255).contiguous(memory_format=torch.channels_last)
        on_device = [Targets(t.boxes.to(images.device), t.labels.to(images.device), t.ignored.to(images.device)) for t in targets]
        size = (int(images.shape[2]), int(images.shape[3]))
        losses: dict[str, Tensor] = self.network(scaled, [size] * len(images), on_device)
        return losses


def evaluate_detector(network: CascadeRCNN, records: Sequence[ImageRecord], target: str, device: str) -> dict[str, Any]:
    """Figures over all images (`all`) and over each source. Parts are found in crops of the ground-truth persons."""
    network.eval()
    rows = [_persons_of(network, record, device) for record in records] if target == "persons" else _parts_of(network, records, device)
    sources = [record.source for record in records] if target == "persons" else [source for source, _, _ in rows]
    names = network.architecture.class_names
    groups = {"all": range(len(rows))} | {s: [i for i, source in enumerate(sources) if source == s] for s in sorted(set(sources))}
    return {name: box_metrics([rows[i][1] for i in index], [rows[i][2] for i in index], names) for name, index in groups.items()}


def _persons_of(network: CascadeRCNN, record: ImageRecord, device: str) -> tuple[str, BoxTruth, Any]:
    detector = CascadePersonDetector(network, device, score_threshold=0.01, nms_iou=0.6, max_persons=100)
    found = detector([Frame(record.path.name, 0, 0.0, read_image(record.path))])[0]
    boxes = np.array([p.xyxy for p in record.persons], np.float32).reshape(-1, 4)
    truth = BoxTruth(boxes, np.zeros(len(boxes), int), np.array([p.crowd for p in record.persons], bool))
    return record.source, truth, (found.xyxy, found.scores, found.class_ids)


def _parts_of(network: CascadeRCNN, records: Sequence[ImageRecord], device: str) -> list[tuple[str, BoxTruth, Any]]:
    detector = CascadePartDetector(network, device, score_threshold=0.0, batch_size=16)
    rows = []
    for record in records:
        posed = [(p, k) for p in record.persons if (k := p.best_keypoints) is not None]
        if not posed:
            continue
        persons = Detections(np.stack([p.xyxy for p, _ in posed]), np.ones(len(posed)), np.zeros(len(posed)))
        found = detector([Frame(record.path.name, 0, 0.0, read_image(record.path))], [persons])[0]
        for i, (person, keypoints) in enumerate(posed):
            boxes, visible = part_boxes(keypoints, person.xyxy)
            truth = BoxTruth(boxes[visible], np.flatnonzero(visible), np.zeros(int(visible.sum()), bool))
            shown = np.flatnonzero(found.visible[i])
            rows.append((record.source, truth, (found.xyxy[i, shown], found.scores[i, shown], shown)))
    return rows

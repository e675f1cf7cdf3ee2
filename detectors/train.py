"""Training and evaluation of person and part detectors."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from detectors import PART_DETECTORS, PERSON_DETECTORS
from detectors.drawing import draw_examples
from detectors.evaluation import Target, evaluate_network, figures_by_source, network_items, part_items, person_items
from detectors.networks import DetectionNetwork, NetworkName, build_network, header_of, load_network, parse_architecture
from detectors.networks.architectures import DetectorArchitecture, Targets
from detectors.networks.calibration import fit_calibration
from detectors.parts import PoseChoice
from detectors.sampling import Sampling, item_weights
from detectors.views import PartViews, PersonViews, collate
from parsing.configs import config, resolve
from parsing.datasets import Format, OnError, Problems, read_records, usable
from parsing.datasets.records import PERSON, ImageRecord, ObjectRecord, true_parts
from parsing.datasets.split import held, read_val_share
from parsing.errors import InputError
from parsing.learning.fit import FitConfig, fit
from parsing.learning.runs import RunFolder
from parsing.networks.backbones import Pretrained
from parsing.networks.weights import read_header, save_weights
from parsing.stages import PoseEstimator

log = logging.getLogger(__name__)
Share = Annotated[float, Field(ge=0, le=1)]


@config
class DetectionDataConfig:
    """Annotated images under `root`, and under `more` folders that are laid out like it.

    Args:
        more: folders whose images join those of `root`, in both splits; their files have the same names.
        train, val: annotation files, or folders of them, below `root`; of `yolo` also one `data.yaml` for both, and of
            `kinetics_tps` one folder for both, of which `parsing.datasets.split` holds a share of the videos out.
        images: folder of the images below `root`; a `data.yaml` says itself where they lie.
        on_error: whether a record that does not fit ends the training or is left out.
        sources: image sources to train on; empty takes all.
        source_weights: how often images of a source are drawn, relative to 1.
        sampling: whether items with rare classes are drawn more often.
        rotation_deg, mosaic: of the random views; `mosaic` concerns whole images alone.
        view_px: side of the training views; 0 takes the architecture's `input_px`.
        limit: train on the first images only; for trials.
    """

    root: str
    more: tuple[str, ...] = ()
    format: Format = "coco"
    train: str = "annotations_train.json"
    val: str = "annotations_val.json"
    images: str = "images"
    on_error: OnError = "fail"
    sources: tuple[str, ...] = ()
    source_weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(default_factory=dict)
    sampling: Sampling = "uniform"
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 8.0
    mosaic: Share = 0.25
    view_px: Annotated[int, Field(ge=0, le=4096)] = 0
    limit: Annotated[int, Field(ge=1, le=10**9)] | None = None

    def read(self, split: Literal["train", "val"]) -> list[ImageRecord]:
        """The records of `train` or `val` whose image is there and whole, as `pipelines.inspect_data` counts them.

        Raises:
            InputError: a record does not fit, or there is no image.
        """
        records = [record for folder in (self.root, *self.more) for record in self._of_folder(Path(folder), split)]
        if split == "train":
            records = [record for record in records if not self.sources or record.source in self.sources][: self.limit]
        if not records:
            raise InputError(f"{self.where(split)}: no image of the {split} split that can be used")
        return records

    def where(self, split: Literal["train", "val"], folder: str | None = None) -> Path:
        """The annotations of a split, under `root` or another folder."""
        return Path(folder or self.root) / (self.train if split == "train" else self.val)

    def _of_folder(self, folder: Path, split: Literal["train", "val"]) -> list[ImageRecord]:
        problems = Problems(self.on_error)
        records = usable(read_records(self.format, self.where(split, str(folder)), folder / self.images, problems, split), problems)
        if problems.found:
            log.warning("%s: %d records left out", split, len(problems.found))
        if self.format == "kinetics_tps" and self.train == self.val:
            share = read_val_share(folder)
            records = [record for record in records if held(str(record.id).split("/")[1], share) == (split == "val")]
        return records


@config
class TrainConfig:
    """A training of one detector; `target` says whether it finds objects in images or parts in person crops.

    Args:
        architecture: fields of the network's architecture.
        pose: config of the pose estimator that gives heatmaps in evaluation, where the architecture asks for them.
        frozen_level: backbone weights up to this feature level stay as they are; -1 trains all.
        eval_every: epochs between evaluations; the last one is always evaluated.
    """

    name: NetworkName
    target: Target
    architecture: dict[str, Any]
    data: DetectionDataConfig
    fit: FitConfig
    pose: PoseChoice | None = None
    pretrained: Pretrained = "imagenet"
    frozen_level: Annotated[int, Field(ge=-1, le=9)] = -1
    eval_every: Annotated[int, Field(ge=1, le=100_000)] = 1

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; `weights.safetensors` holds the epoch of the best validation AP."""
        architecture = self._architecture()
        pose = self._pose(architecture, device)
        records, val = self.data.read("train"), self.data.read("val")
        self._check_classes(records, val, architecture)
        views = self._views(records, architecture)
        torch.manual_seed(self.fit.seed)  # initial weights too
        task = DetectionTask(build_network(self.name, architecture, self.pretrained, self.frozen_level))
        run = RunFolder(out, asdict(self), resume)
        best = run.best("all", "AP")
        weights = self._weights(views)
        for epoch in fit(task, views, collate, self.fit, run, sample_weights=weights, device=device, resume=resume, quiet=quiet):
            if not run.writes or ((epoch.number + 1) % self.eval_every and epoch.number + 1 < self.fit.epochs):
                continue
            trained = cast(DetectionTask, epoch.module).network
            network = cast(DetectionNetwork, trained)
            metrics = evaluate_network(network, val, self.target, device, pose)
            run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **metrics})
            run.add_image("examples", draw_examples(network, val, self.target, device, pose), epoch.number)
            score = metrics["all"]["AP"] or 0.0
            run.add_scalars({f"val/{name}": metrics["all"][name] for name in ("AP", "AP50", "AR")}, epoch.number)
            log.info("epoch %d  AP %.4f  AP50 %.4f", epoch.number + 1, score, metrics["all"]["AP50"] or 0.0)
            if score > best:
                best = score
                training = {"epoch": epoch.number, "fit": asdict(self.fit), "data": asdict(self.data), "pretrained": self.pretrained}
                save_weights(trained, out / "weights.safetensors", header_of(self.name, network, metrics, training))

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """COCO figures on the validation file, for all images and for each source."""
        architecture = self._architecture()
        network = load_network(self.name, weights, architecture.class_names, device)
        return evaluate_network(network, self.data.read("val"), self.target, device, self._pose(architecture, device))

    def calibrate(self, weights: str, out: Path, *, device: str) -> dict[str, Any]:
        """Write the weights with a calibration of their scores, fitted on the validation file; returns it."""
        architecture = self._architecture()
        network = load_network(self.name, weights, architecture.class_names, device)
        network.calibration = None
        items = network_items(network, self.data.read("val"), self.target, device, self._pose(architecture, device))
        fitted = asdict(fit_calibration([i.truth for i in items], [i.found for i in items], len(architecture.class_names)))
        save_weights(cast(nn.Module, network), out, replace(read_header(weights, self.name), calibration=fitted))
        return fitted

    def evaluate_component(self, component: dict[str, Any], *, device: str) -> dict[str, Any]:
        """The same figures for any component of the stage's table: other views, ensembles, adapters, pose-guided parts.

        Boxes below the component's own score threshold are not counted, so set that low.
        """
        table = PERSON_DETECTORS if self.target == "persons" else PART_DETECTORS
        stage: Any = resolve(table, component, "component").build(device)
        if self.target == "persons":
            return figures_by_source(person_items(stage, self.data.read("val"), (PERSON,)), (PERSON,))
        return figures_by_source(part_items(stage, self.data.read("val")), stage.part_names)

    def _architecture(self) -> DetectorArchitecture:
        return parse_architecture(self.name, self.architecture, "architecture")

    def _check_classes(self, records: list[ImageRecord], val: list[ImageRecord], architecture: DetectorArchitecture) -> None:
        """Stop where there is nothing to learn or nothing to measure by; of the parts, a data set may know some only."""
        found, measured = (_count_boxes(split, self.target, architecture.class_names) for split in (records, val))
        lacking = [name for name in architecture.class_names if not found[name]]
        there = ", ".join(f"{name} {count}" for name, count in found.most_common(20)) or "no box at all"
        line = f"{self.data.where('train')}: no box of class {', '.join(lacking)} in {len(records)} images to train on; found {there}"
        if lacking and (self.target == "persons" or len(lacking) == len(architecture.class_names)):
            raise InputError(line)
        if lacking:
            log.warning("%s", line)
        if not any(measured[name] for name in architecture.class_names):
            raise InputError(f"{self.data.where('val')}: no box of any class in {len(val)} images to validate on")

    def _pose(self, architecture: DetectorArchitecture, device: str) -> PoseEstimator | None:
        if not architecture.heatmaps:
            return None
        if self.pose is None or self.target == "persons":
            raise InputError("architecture.heatmaps: wants part detectors (target: parts) and a pose estimator (pose: {name: …})")
        return cast(PoseEstimator, self.pose.build(device))

    def _views(self, records: list[ImageRecord], architecture: DetectorArchitecture) -> PersonViews | PartViews:
        size = self.data.view_px or architecture.input_px
        if self.target == "persons":
            return PersonViews(records, architecture.class_names, size, self.data.mosaic, self.data.rotation_deg)
        a, turn = architecture, self.data.rotation_deg
        return PartViews(records, a.class_names, a.swap, size, a.context, turn, bool(a.heatmaps))

    def _weights(self, views: PersonViews | PartViews) -> list[float] | None:
        if isinstance(views, PersonViews):
            records, classes = list(views.records), [[item.label for item in record.objects] for record in views.records]
        else:
            records = [record for record, _ in views.persons]
            classes = [_known_parts(person, views.class_names) for _, person in views.persons]
        return item_weights(classes, self.data.sampling, [self.data.source_weights.get(record.source, 1.0) for record in records])


def _count_boxes(records: list[ImageRecord], target: Target, names: tuple[str, ...]) -> Counter[str]:
    """How many boxes of each class can be learned from."""
    if target == "persons":
        return Counter(item.label for record in records for item in record.objects if not item.crowd)
    persons = [person for record in records for person in record.persons if person.has_parts(names) and not person.crowd]
    return Counter(name for person in persons for name in _known_parts(person, names))


def _known_parts(person: ObjectRecord, names: tuple[str, ...]) -> list[str]:
    return [names[i] for i in np.flatnonzero(true_parts(person, names)[1])]


class DetectionTask(nn.Module):
    """Named losses of a batch of uint8 images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: tuple[Tensor, list[Targets]]) -> dict[str, Tensor]:
        images, targets = batch
        scaled = images.float().div(255).contiguous(memory_format=torch.channels_last)
        on_device = [Targets(t.boxes.to(images.device), t.labels.to(images.device), t.ignored.to(images.device)) for t in targets]
        size = (int(images.shape[2]), int(images.shape[3]))
        losses: dict[str, Tensor] = self.network(scaled, [size] * len(images), on_device)
        return losses

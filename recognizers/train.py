"""Training and evaluation of recognizers on labelled clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision import tv_tensors
from torchvision.transforms import v2

from parsing.backbones import Pretrained
from parsing.checkpoints import fill
from parsing.configs import config
from parsing.errors import InputError
from parsing.runs import RunFolder
from parsing.training import FitConfig, fit
from parsing.types import Frame
from parsing.video import count_frames, read_nearest
from parsing.weights import WeightsHeader, save_weights
from recognizers.data import ClipViews, ViewConfig, cache_clips, collate
from recognizers.lists import ClipFormat, ClipRecord, check_actions, read_clip_records, trainable_actions
from recognizers.metrics import recognition_metrics
from recognizers.networks import Architecture, NetworkName, parse_architecture
from recognizers.video import VideoRecognizer, load_recognizer
from recognizers.views import View

log = logging.getLogger(__name__)


@config
class ClipDataConfig:
    """Labelled clips under `root`.

    Args:
        format, labels, classes: as in `recognizers.lists.read_clip_records`.
        actions: names to learn; empty takes all that have clips in both splits.
        most_frames: that are kept of each training clip, at `short_side_px`.
        repeat: how often a clip is drawn in an epoch.
        balance: exponent on the inverse frequency of a clip's action; 0 draws clips alike, 1 draws actions alike.
    """

    root: str
    format: ClipFormat = "csv"
    labels: str = "labels.csv"
    classes: str = "classes.txt"
    actions: tuple[str, ...] = ()
    most_frames: Annotated[int, Field(ge=1)] = 96
    short_side_px: Annotated[int, Field(ge=32)] = 192
    repeat: Annotated[int, Field(ge=1)] = 1
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5


@config
class TrainConfig:
    """A training of any video network.

    Args:
        initial: weights of the same network, of any actions, to start from; its classifier is new where those differ.
        freeze_norm: batch norms keep their statistics: none, all, or all but the first, whose input is what changes
            most between data sets (partial BN; the second place of Kinetics-TPS 2021 gained 9.9 points by it).
        frozen_level: of frame-wise networks, the feature level up to which weights stay; -1 trains all.
        mixup, cutmix: alpha of either (Zhang et al. 2018, Yun et al. 2019), 0 for none; with both, one is drawn a batch.
        num_clips: clips that are averaged at evaluation.
    """

    name: NetworkName
    architecture: dict[str, Any]
    data: ClipDataConfig
    fit: FitConfig
    views: ViewConfig = field(default_factory=ViewConfig)
    pretrained: Pretrained = "none"
    initial: str = ""
    freeze_norm: Literal["none", "all", "all_but_first"] = "none"
    frozen_level: int = -1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    mixup: Annotated[float, Field(ge=0)] = 0.0
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    num_clips: Annotated[int, Field(ge=1)] = 2
    eval_every: Annotated[int, Field(ge=1)] = 1

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; `weights.safetensors` holds the last epoch.

        Validation sets of a few dozen clips are too small to choose an epoch by: the best of many would flatter.
        """
        records = self._records()
        actions = self.data.actions or trainable_actions(records)
        check_actions(records, actions, self.data.root)
        train = [r for r in records if r.split == "train" and r.trainable and r.label in actions]
        if not train:
            raise InputError(f"{Path(self.data.root) / self.data.labels}: no clip to train on")
        a = parse_architecture(self.name, self.architecture, "architecture")
        clips = cache_clips(train, actions, a.sampling, self.data.most_frames, self.data.short_side_px) * self.data.repeat
        counts = np.bincount([clip.label_id for clip in clips], minlength=len(actions))
        weights = [float(counts[clip.label_id] ** -self.data.balance) for clip in clips]
        torch.manual_seed(self.fit.seed)  # initial weights too
        network = self._network(a, actions)
        views = ClipViews(clips, a.sampling, a.input_px, self.views)
        val = load_validation(records, actions, a, self.num_clips)
        run = RunFolder(out, asdict(self), resume)
        task = RecognitionTask(network, self.label_smoothing, self.freeze_norm, mixing(len(actions), self.mixup, self.cutmix))
        for epoch in fit(task, views, collate, self.fit, run, sample_weights=weights, device=device, resume=resume, quiet=quiet):
            if (epoch.number + 1) % self.eval_every and epoch.number + 1 < self.fit.epochs:
                continue
            current = cast(RecognitionTask, epoch.module).network
            metrics = evaluate_recognizer(current, a, actions, val, device, self.num_clips)
            run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **metrics})
            log.info("epoch %d  top-1 %.4f  top-5 %.4f", epoch.number + 1, metrics["all"]["top1"] or 0, metrics["all"]["top5"] or 0)
            if run.writes:
                training = {"epoch": epoch.number, "fit": asdict(self.fit), "data": asdict(self.data), "pretrained": self.pretrained}
                header = WeightsHeader(self.name, asdict(cast(Any, a)), {"actions": list(actions)}, metrics, training)
                save_weights(current, out / "weights.safetensors", header)

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """Figures on the validation clips: all, and those whose scene stands in no training clip."""
        network, a, actions = load_recognizer(self.name, weights, device)
        val = load_validation(self._records(), actions, a, self.num_clips)
        return evaluate_recognizer(network, a, actions, val, device, self.num_clips)

    def validation_records(self, actions: Sequence[str]) -> list[ClipRecord]:
        """The validation clips of these actions."""
        return [record for record in self._records() if record.split == "val" and record.label in actions]

    def _records(self) -> list[ClipRecord]:
        return read_clip_records(self.data.format, Path(self.data.root), self.data.labels, self.data.classes)

    def _network(self, a: Architecture, actions: Sequence[str]) -> nn.Module:
        network = a.build(len(actions), self.pretrained, self.frozen_level)
        if self.initial:
            source, _, known = load_recognizer(self.name, self.initial, "cpu")
            classifier = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
            kept = {key: value for key, value in source.state_dict().items() if known == tuple(actions) or not key.startswith(classifier)}
            fill(network, network.state_dict() | kept, f"the architecture that is trained (initial: {self.name})", Path(self.initial))
        return network


class RecognitionTask(nn.Module):
    """Cross-entropy with smoothed labels, batch norms frozen and clips mixed as asked."""

    def __init__(self, network: nn.Module, label_smoothing: float, freeze_norm: str = "none", mix: Mix | None = None) -> None:
        super().__init__()
        self.network, self.label_smoothing, self.freeze_norm, self.mix = network, label_smoothing, freeze_norm, mix
        for norm in self._frozen():
            norm.requires_grad_(False)

    def train(self, mode: bool = True) -> RecognitionTask:
        super().train(mode)
        for norm in self._frozen():
            norm.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        # One without affine terms only brings features to a scale, which it must learn first.
        norms: list[nn.Module] = [module for module in self.network.modules() if isinstance(module, _BatchNorm) and module.affine]
        return {"none": [], "all": norms, "all_but_first": norms[1:]}[self.freeze_norm]

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        clips, labels = batch
        clips = clips.float() / 255
        if self.mix is not None and self.training:
            clips, labels = self.mix(tv_tensors.Video(clips), labels)  # labels become shares of the actions
        logits = self.network(clips.as_subclass(Tensor))
        return {"action": F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)}


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mixing(num_actions: int, mixup: float, cutmix: float) -> Mix | None:
    """What mixes the clips of a batch with each other."""
    kinds = [v2.MixUp(num_classes=num_actions, alpha=mixup)] if mixup else []
    kinds += [v2.CutMix(num_classes=num_actions, alpha=cutmix)] if cutmix else []
    return v2.RandomChoice(kinds) if kinds else None


Validation = list[tuple[ClipRecord, list[list[Frame]]]]


def load_validation(records: Sequence[ClipRecord], actions: Sequence[str], a: Architecture, num_clips: int) -> Validation:
    """Validation clips with the frames that the recognizer will sample, decoded once."""
    loaded: Validation = []
    for record in records:
        if record.split == "val" and record.label in actions:
            sampled = View(clips=num_clips).sample(a.sampling, count_frames(record.path))
            frames = read_nearest(record.path, np.concatenate(sampled))
            loaded.append((record, [[frames[int(index)] for index in clip] for clip in sampled]))
    return loaded


def evaluate_recognizer(
    network: nn.Module, a: Architecture, actions: Sequence[str], val: Validation, device: str, num_clips: int
) -> dict[str, Any]:
    """Figures over all videos (`all`) and over those with a scene of their own (`scene_disjoint`)."""
    stage = VideoRecognizer(network.eval().to(device), a, tuple(actions), device, (View(clips=num_clips),))
    scores = np.array([stage(clips) for _, clips in val]).reshape(len(val), len(actions))
    labels = np.array([actions.index(record.label) for record, _ in val], int)
    disjoint = np.array([record.scene_disjoint for record, _ in val], bool)
    return {
        "all": recognition_metrics(scores, labels, actions),
        "scene_disjoint": recognition_metrics(scores[disjoint], labels[disjoint], actions),
    }

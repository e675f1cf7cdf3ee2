"""Training and evaluation of recognizers on labelled clips."""

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
from torch.nn import functional as F

from parsing.backbones import Pretrained
from parsing.configs import config
from parsing.errors import InputError
from parsing.runs import RunFolder
from parsing.training import FitConfig, fit
from parsing.types import Frame
from parsing.video import count_frames, read_nearest
from parsing.weights import WeightsHeader, save_weights
from recognizers.data import ClipRecord, ClipViews, cache_clips, collate, read_clips, trainable_actions
from recognizers.metrics import recognition_metrics
from recognizers.networks.tsm import TSM, TSMArchitecture
from recognizers.sampling import segment_frames
from recognizers.video import VideoRecognizer, load_recognizer
from recognizers.views import View

log = logging.getLogger(__name__)


@config
class ClipDataConfig:
    """A CSV of labelled clips under `root`.

    Args:
        actions: names to learn; empty takes all that have clips in both splits.
        positions: snippets that are kept of each training clip, at `short_side_px`.
        smallest_crop: of the random crops, over the short side.
        repeat: how often a clip is drawn in an epoch.
        balance: exponent on the inverse frequency of a clip's action; 0 draws clips alike, 1 draws actions alike.
    """

    root: str
    labels: str = "labels.csv"
    actions: tuple[str, ...] = ()
    positions: Annotated[int, Field(ge=1)] = 16
    short_side_px: Annotated[int, Field(ge=32)] = 192
    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.7
    repeat: Annotated[int, Field(ge=1)] = 1
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5


@config
class TrainConfig:
    """A training of TSM.

    Args:
        frozen_level: backbone weights up to this feature level stay as they are; -1 trains all.
        num_clips: clips that are averaged at evaluation.
    """

    name: Literal["tsm"]
    architecture: TSMArchitecture
    data: ClipDataConfig
    fit: FitConfig
    pretrained: Pretrained = "imagenet"
    freeze_norm: bool = True
    frozen_level: int = -1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    num_clips: Annotated[int, Field(ge=1)] = 2
    eval_every: Annotated[int, Field(ge=1)] = 1

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; `weights.safetensors` holds the last epoch.

        Validation sets of a few dozen clips are too small to choose an epoch by: the best of many would flatter.
        """
        records = self._records()
        actions = self.data.actions or trainable_actions(records)
        train = [r for r in records if r.split == "train" and r.trainable and r.label in actions]
        if not train:
            raise InputError(f"{Path(self.data.root) / self.data.labels}: no clip to train on")
        a = self.architecture
        clips = cache_clips(train, actions, self.data.positions, a.snippet, a.step, self.data.short_side_px) * self.data.repeat
        counts = np.bincount([clip.label_id for clip in clips], minlength=len(actions))
        weights = [float(counts[clip.label_id] ** -self.data.balance) for clip in clips]
        torch.manual_seed(self.fit.seed)  # initial weights too
        network = TSM(a, len(actions), self.pretrained, self.freeze_norm, self.frozen_level)
        views = ClipViews(clips, a.num_segments, a.input_px, self.data.smallest_crop)
        val = load_validation(records, actions, a, self.num_clips)
        run = RunFolder(out, asdict(self), resume)
        task = RecognitionTask(network, self.label_smoothing)
        for epoch in fit(task, views, collate, self.fit, run, sample_weights=weights, device=device, resume=resume, quiet=quiet):
            if (epoch.number + 1) % self.eval_every and epoch.number + 1 < self.fit.epochs:
                continue
            current = cast(RecognitionTask, epoch.module).network
            metrics = evaluate_recognizer(current, actions, val, device, self.num_clips)
            run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **metrics})
            log.info("epoch %d  top-1 %.4f  top-5 %.4f", epoch.number + 1, metrics["all"]["top1"] or 0, metrics["all"]["top5"] or 0)
            training = {"epoch": epoch.number, "fit": asdict(self.fit), "data": asdict(self.data), "pretrained": self.pretrained}
            header = WeightsHeader(self.name, asdict(a), {"actions": list(actions)}, metrics, training)
            save_weights(current, out / "weights.safetensors", header)

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """Figures on the validation clips: all, and those whose scene stands in no training clip."""
        network, architecture, actions = load_recognizer("tsm", weights, device)
        val = load_validation(self._records(), actions, cast(TSMArchitecture, architecture), self.num_clips)
        return evaluate_recognizer(cast(TSM, network), actions, val, device, self.num_clips)

    def _records(self) -> list[ClipRecord]:
        return read_clips(Path(self.data.root) / self.data.labels)


class RecognitionTask(nn.Module):
    """Cross-entropy with smoothed labels."""

    def __init__(self, network: TSM, label_smoothing: float) -> None:
        super().__init__()
        self.network, self.label_smoothing = network, label_smoothing

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        clips, labels = batch
        logits = self.network(clips.float() / 255)
        return {"action": F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)}


Validation = list[tuple[ClipRecord, list[list[Frame]]]]


def load_validation(records: Sequence[ClipRecord], actions: Sequence[str], a: TSMArchitecture, num_clips: int) -> Validation:
    """Validation clips with the frames that the recognizer will sample, decoded once."""
    loaded: Validation = []
    for record in records:
        if record.split == "val" and record.label in actions:
            sampled = segment_frames(count_frames(record.path), a.num_segments, num_clips, a.snippet, a.step)
            frames = read_nearest(record.path, np.concatenate(sampled))
            loaded.append((record, [[frames[int(index)] for index in clip] for clip in sampled]))
    return loaded


def evaluate_recognizer(network: TSM, actions: Sequence[str], val: Validation, device: str, num_clips: int) -> dict[str, Any]:
    """Figures over all videos (`all`) and over those with a scene of their own (`scene_disjoint`)."""
    stage = VideoRecognizer(network.eval().to(device), network.architecture, tuple(actions), device, (View(clips=num_clips),))
    scores = np.array([stage(clips) for _, clips in val]).reshape(len(val), len(actions))
    labels = np.array([actions.index(record.label) for record, _ in val], int)
    disjoint = np.array([record.scene_disjoint for record, _ in val], bool)
    return {
        "all": recognition_metrics(scores, labels, actions),
        "scene_disjoint": recognition_metrics(scores[disjoint], labels[disjoint], actions),
    }

"""Training and evaluation of recognizers on labelled clips."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field
from torch import nn

from parsing.configs import Choice, Count, StageConfig, config
from parsing.datasets.clips import ClipRecord
from parsing.errors import InputError
from parsing.learning.batches import Batches, EpochSampler, EqualBatches
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.networks.backbones import Pretrained
from parsing.networks.initial import Rows, pretrained_of, start_from
from parsing.stages import ActionRecognizer
from parsing.types import Array
from recognizers.balance import BalanceConfig
from recognizers.clips.multigrid import Cycles, MultigridBatches
from recognizers.clips.store import ClipStore, readable
from recognizers.clips.test_views import View
from recognizers.clips.training_views import ClipViews, Targets, ViewConfig, collate
from recognizers.data import ClipDataConfig
from recognizers.evaluation import deciding_figures, figures, write_scores
from recognizers.labels import ActionLabels
from recognizers.losses import ActionLossConfig
from recognizers.networks import NETWORKS, Architecture, NetworkName
from recognizers.scores import SavedScores
from recognizers.scoring import score_clips
from recognizers.superres.scaling import Scaling, scaled
from recognizers.task import FreezeNorm, RecognitionTask, checkpoint_blocks, mixing
from recognizers.video import VideoRecognizer, VideoRecognizerConfig

log = logging.getLogger(__name__)


@config
class DistillationConfig:
    """What a teacher predicted for the training clips (SIAT 2022).

    Args:
        scores: its saved scores of them; `pipelines.distil` and the teachers of an ablation make them on the way.
        alpha: share of the labels in the loss.
    """

    scores: str = ""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.5


@config
class RecognizerTraining:
    """A training of any video network.

    Args:
        initial: weights of the same network, of any actions, to start from (`parsing.networks.initial`); empty for none.
        freeze_norm: batch norms keep their statistics: none, all, or all but the first, whose input is what changes
            most between data sets (partial BN; the second place of Kinetics-TPS 2021 gained 9.9 points by it).
        frozen_level: of frame-wise networks, the feature level up to which weights stay; -1 trains all.
        mixup, cutmix: alpha of either (Zhang et al. 2018, Yun et al. 2019), 0 for none; with both, one is drawn a batch.
        multigrid: cycles of shorter and smaller clips in larger batches.
        checkpoint: blocks are computed again for their gradients, which takes a third more time and much less memory.
        stop_at: top-1, or mean AP of many labels, on the validation clips at which the training ends, as the first of several stages.
        keep_epochs: weights of so many last epochs are kept, for ensembles of epochs.
        crop: what evaluation looks at, and training at random parts of: the middle at most 4:3 wide, or the whole picture.
        num_clips: clips that are averaged at evaluation.
    """

    name: NetworkName
    architecture: Annotated[Architecture, Choice(NETWORKS, "name")]
    data: ClipDataConfig
    fit: FitConfig
    views: ViewConfig = field(default_factory=ViewConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    loss: ActionLossConfig = field(default_factory=ActionLossConfig)
    distillation: DistillationConfig | None = None
    pretrained: Pretrained = "none"
    initial: str = ""
    freeze_norm: FreezeNorm = "none"
    frozen_level: Annotated[int, Field(ge=-1, le=9)] = -1
    mixup: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    cutmix: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    multigrid: Cycles = "none"
    checkpoint: bool = False
    stop_at: Annotated[float, Field(gt=0, le=1)] | None = None
    keep_epochs: Annotated[int, Field(ge=0, le=100_000)] = 0
    crop: Literal["squeeze", "whole"] = "squeeze"
    num_clips: Annotated[int, Field(ge=1, le=256)] = 2
    eval_every: Count = 1

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        a, records = self.architecture, self.data.records()
        labels = self.data.learned(records, self.loss)
        network = self._network(labels, resumed)
        train = readable(self.data.split_records("train", labels, records))
        if not train:
            raise InputError(f"{self.data.root}: no clip to train on can be read")
        val, scaling = self.data.split_records("val", labels, records), self.data.build_scaling(device)
        views, drawn = self._views(train, labels, self.data.build_scaling("cpu") if self.fit.num_workers else scaling)

        def score(task: nn.Module) -> Scored:
            current = cast(RecognitionTask, task).network
            stage = VideoRecognizer(current.eval().to(device), a, labels, device, self._test_views)
            scores = score_clips(scaled(stage, scaling), val, self.name)
            return Scored(current, figures(scores, scores.probabilities), write=partial(write_scores, scores))

        taught = self.distillation is not None
        mix = mixing(len(labels.names) * (1 + taught), self.mixup, self.cutmix)
        return Prepared(
            RecognitionTask(network, self.loss, self.freeze_norm, mix, self.distillation.alpha if self.distillation else 1.0),
            views,
            collate,
            score,
            figures=deciding_figures(labels.multi_label),
            architecture=a,
            labels=labels.to_header(),
            facts={"pretrained": self._pretrained, "views": [asdict(view) for view in self._test_views]},
            weights=drawn,
            batches=self._batches,
            every=self.eval_every,
            stop_at=self.stop_at,
            keep_epochs=self.keep_epochs,
        )

    def component(self, weights: str) -> StageConfig:
        return VideoRecognizerConfig(self.name, weights)

    def evaluate(self, stage: ActionRecognizer, *, device: str) -> dict[str, Any]:
        """Figures on the validation clips: all, and those whose scene stands in no training clip."""
        scores = self.score(stage, "val", self.name, device)
        return figures(scores, scores.probabilities)

    def save_knowledge(self, weights: str, path: Path, *, device: str) -> None:
        """Scores of a trained network for its training clips, for `distillation.scores` of another training."""
        self.score(self.component(weights).build(device), "train", self.name, device).save(path)

    def score(self, stage: ActionRecognizer, split: str, name: str, device: str) -> SavedScores:
        """Scores of the clips of a split, `train` or `val`."""
        records = self.data.split_records(split, ActionLabels(stage.action_names, stage.multi_label))
        return score_clips(scaled(stage, self.data.build_scaling(device)), records, name)

    @property
    def _test_views(self) -> tuple[View, ...]:
        return (View(clips=self.num_clips, crop=self.crop),)

    def _views(self, train: Sequence[ClipRecord], labels: ActionLabels, scaling: Scaling | None) -> tuple[ClipViews, list[float] | None]:
        """Random views of the training clips, and how often each is drawn; None takes each once."""
        a = self.architecture
        store = ClipStore(train, a.sampling, self.data.most_frames, self.data.short_side_px, self.data.most_mb, scaling)
        if self.fit.num_workers:
            store.load()
        holds = np.stack([labels.target(record.labels) for record in train])
        flips = self.views.flip > 0 or self.balance.double_tail > 0
        targets = Targets(holds, self._knowledge(train, labels), labels.mirrored() if flips else np.arange(len(labels.names)))
        entries = self.balance.entries(holds, labels.names)
        views = ClipViews(store, targets, a.sampling, a.input_px, self.views, entries, a.input, self.crop)
        return views, self.balance.weights(holds, entries)

    def _knowledge(self, train: Sequence[ClipRecord], labels: ActionLabels) -> Array:
        if self.distillation is None:
            return np.zeros((len(train), 0), np.float32)
        if not self.distillation.scores:
            raise InputError("distillation.scores: none given, expected a file of scores; pipelines.distil makes one on the way")
        path = Path(self.distillation.scores)
        return SavedScores.load(path).probabilities_of([record.name for record in train], labels.names, labels.multi_label, path)

    def _batches(self, sampler: EpochSampler, batch_size: int) -> Batches:
        if self.multigrid == "none":
            return EqualBatches(sampler, batch_size)
        s = self.architecture.sampling
        shape = s.clip_frames, self.architecture.input_px, self.fit.epochs, self.fit.cycles, s.multiple
        return MultigridBatches(sampler, batch_size, self.multigrid, *shape)

    @property
    def _pretrained(self) -> Pretrained:
        """ActionCLIP's folder reads the names of actions, also of those that `initial` does not know."""
        return self.pretrained if self.name == "actionclip" else pretrained_of(self.pretrained, self.initial)

    def _network(self, labels: ActionLabels, resumed: bool) -> nn.Module:
        network = self.architecture.build(labels.names, "none" if resumed else self._pretrained, self.frozen_level)
        classifier = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
        start_from(
            network, "" if resumed else self.initial, self.name, labels.to_header(), {rf"{re.escape(classifier)}\..*": (Rows("actions"),)}
        )
        if self.checkpoint and not checkpoint_blocks(network):
            raise InputError(f"checkpoint: {self.name!r} has no blocks that repeat")
        return network

"""Training and evaluation of actions from parts, on the parses of labelled clips."""

from __future__ import annotations

import time
from dataclasses import field
from functools import partial
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import Count, StageConfig, config
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.networks.initial import start_from
from parsing.stages import PartActionRecognizer
from recognizers.balance import BalanceConfig
from recognizers.ensemble import logits_of
from recognizers.evaluation import deciding_figures, figures, write_scores
from recognizers.labels import ActionLabels
from recognizers.parts.data import PartClipConfig, PartClips
from recognizers.parts.network import PartTracksArchitecture, PartTracksNet
from recognizers.parts.stage import PartTracks, PartTracksConfig, header_labels
from recognizers.parts.views import PartViewConfig, PartViews, collate
from recognizers.scores import SMALLEST, SavedScores, one_hot


@config
class PartActionTraining:
    """A training of the network over tracks of parts.

    Args:
        initial: weights to start from, of any parts, states and actions (`parsing.networks.initial`); empty for none.
        label_smoothing: of the cross-entropy.
    """

    name: Literal["part_tracks"]
    data: PartClipConfig
    fit: FitConfig
    architecture: PartTracksArchitecture = field(default_factory=PartTracksArchitecture)
    views: PartViewConfig = field(default_factory=PartViewConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    initial: str = ""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    eval_every: Count = 1

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        records = self.data.records()
        labels = self.data.learned(records)
        train, val = (self.data.clips(split, labels, records) for split in ("train", "val"))
        vocabulary = train.vocabulary
        network = PartTracksNet(self.architecture, len(vocabulary.parts), len(vocabulary.states), len(labels.names))
        start_from(network, "" if resumed else self.initial, self.name, header_labels(vocabulary, labels), network.named_rows)

        def score(task: nn.Module) -> Scored:
            current = cast(PartActionTask, task).network
            stage = PartTracks(current.eval().to(device), vocabulary, labels, device)
            scores = score_parses(stage, val, self.name)
            return Scored(current, figures(scores, scores.probabilities), write=partial(write_scores, scores))

        views, drawn = self._views(train, labels)
        return Prepared(
            PartActionTask(network, self.label_smoothing),
            views,
            collate,
            score,
            figures=deciding_figures(False),
            architecture=self.architecture,
            labels=header_labels(vocabulary, labels),
            weights=drawn,
            every=self.eval_every,
        )

    def component(self, weights: str) -> StageConfig:
        return PartTracksConfig(self.name, weights)

    def evaluate(self, stage: PartActionRecognizer, *, device: str) -> dict[str, Any]:
        """Figures on the validation clips."""
        scores = self.score(stage, "val", self.name, device)
        return figures(scores, scores.probabilities)

    def score(self, stage: PartActionRecognizer, split: str, name: str, device: str) -> SavedScores:  # noqa: ARG002  # the stage has its own
        """Scores of the clips of a split, `train` or `val`."""
        labels = ActionLabels(stage.action_names, background=stage.background)
        return score_parses(stage, self.data.clips(split, labels, self.data.records()), name)

    def _views(self, train: PartClips, labels: ActionLabels) -> tuple[PartViews, list[float] | None]:
        """Random views of the training clips, and how often each is drawn."""
        targets = train.targets(labels)
        mirrors = labels.mirrored() if self.views.flip else np.arange(len(labels.names))
        holds = one_hot(targets, len(labels.names))
        if self.balance.double_tail or self.balance.repeat > 1:
            raise InputError("balance: double_tail and repeat are not for actions from parts; expected exponent or repeat_factor")
        weights = self.balance.weights(holds, [(i, False) for i in range(len(train))])
        return PartViews(train, targets, mirrors, self.architecture, self.views), weights


class PartActionTask(nn.Module):
    """The network under its loss."""

    def __init__(self, network: PartTracksNet, label_smoothing: float) -> None:
        super().__init__()
        self.network, self.label_smoothing = network, label_smoothing

    def forward(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        parts, persons, targets = batch
        return {"action": F.cross_entropy(self.network(parts, persons).float(), targets, label_smoothing=self.label_smoothing)}


def score_parses(stage: PartActionRecognizer, clips: PartClips, name: str) -> SavedScores:
    """Logits of every clip, up to a constant.

    Raises:
        InputError: the stage was made for other parts or states than the parses have.
    """
    stage.check(clips.vocabulary)
    labels = ActionLabels(stage.action_names, background=stage.background)
    logits, seconds = [], []
    for window in clips.windows:
        started = time.perf_counter()
        logits.append(logits_of(stage([window])[0].probabilities, False, SMALLEST))
        seconds.append(time.perf_counter() - started)
    videos = np.array([record.name for record in clips.records])
    disjoint = np.array([record.scene_disjoint for record in clips.records])
    truth = one_hot(clips.targets(labels), len(labels.names))
    columns = videos, np.array(labels.names), truth, np.array(logits), np.array(seconds), disjoint
    return SavedScores(name, *columns, False, np.array(labels.background, str))

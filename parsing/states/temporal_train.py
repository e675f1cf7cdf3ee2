"""Training of the temporal head on annotated videos, over the scores of a part-state network that stays as it is."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from parsing.configs import Choice, Count, StageConfig, config, nearest
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.networks.initial import start_from
from parsing.stages import StateFilter
from parsing.states.evaluation import evaluate_filter, score_states
from parsing.states.filters import Window
from parsing.states.losses import StateLossConfig, many_states_loss, one_state_loss
from parsing.states.part_state_net import PartStateNetConfig, PartStateStage
from parsing.states.sources import TRACKS, ImageStates, KineticsTPSStates
from parsing.states.temporal import TemporalArchitecture, TemporalFilter, TemporalHead, TemporalHeadConfig
from parsing.states.windows import Windows, collate
from parsing.types import ModelFacts


@config
class StateFilterTraining:
    """A training of the temporal head.

    Args:
        base: weights of the part-state network that it follows.
        data: Kinetics-TPS folders, or with a `format` of `cvat` or `label_studio` the annotated tracks of videos.
        initial: weights of a head to start from, of any parts and states (`parsing.networks.initial`); empty for none.
        fps: of the annotated videos, which gives the time between frames.
        motion_states: states that do not hold of anyone who holds still; some windows are made so.
        motion: whether the head sees how parts move.
        most_gap: frames that a person may be missing between two annotated frames of its track.
    """

    name: Literal["temporal_head"]
    base: str
    data: Annotated[KineticsTPSStates | ImageStates, Choice(TRACKS, key="format", otherwise="kinetics_tps")]
    fit: FitConfig
    loss: StateLossConfig = field(default_factory=StateLossConfig)
    initial: str = ""
    motion: bool = True
    motion_states: tuple[str, ...] = ()
    steps: Annotated[int, Field(ge=1, le=8)] = 2
    window_s: Window = 0.6
    dim: Count = 64
    depth: Count = 2
    fps: Annotated[float, Field(gt=0, le=1000)] = 25.0
    most_gap: Count = 10

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        base = self._base(device)
        vocabulary = base.vocabulary
        sizes = {"steps": self.steps, "window_s": self.window_s, "dim": self.dim, "depth": self.depth}
        a = TemporalArchitecture(base.network.architecture.head, motion=self.motion, **sizes)  # type: ignore[arg-type]
        head = TemporalHead(a, torch.from_numpy(vocabulary.allowed))
        start_from(head, "" if resumed else self.initial, self.name, vocabulary.to_json(), head.named_rows)
        train, val = (self._windows(split, base) for split in ("train", "val"))

        def score(task: nn.Module) -> Scored:
            head = cast(TemporalTask, task).head
            facts = ModelFacts("state_filter", self.name, None, "{}")
            stage = TemporalFilter(head.eval().to(device), vocabulary, device, facts)
            return Scored(head, evaluate_filter(stage, val, vocabulary))

        return Prepared(
            TemporalTask(head, train.table.frequency, self.loss),
            train,
            collate,
            score,
            figures=("all.mean_ap", "single.mean_ap"),
            architecture=a,
            labels=vocabulary.to_json(),
            facts={"base": self.base},
        )

    def component(self, weights: str) -> StageConfig:
        return TemporalHeadConfig(self.name, weights)

    def evaluate(self, stage: StateFilter, *, device: str) -> dict[str, Any]:
        """Figures on the validation videos: `single` of the part states of `base` alone, `all` behind the filter."""
        base = self._base(device)
        return evaluate_filter(stage, self._windows("val", base), base.vocabulary)

    def _base(self, device: str) -> PartStateStage:
        return PartStateNetConfig("part_state_net", self.base).build(device)

    def _windows(self, split: Literal["train", "val"], base: PartStateStage) -> Windows:
        table = self.data.table(split, base.vocabulary)
        if not len(table):
            raise InputError(f"{self.data.root}: no person with part states in the {split} split")
        states = base.vocabulary.states
        for name in self.motion_states:
            if name not in states:
                raise InputError(f"motion_states: {name!r:.80}: unknown state; {nearest(name, states)}")
        moving = np.isin(states, self.motion_states)
        scores = score_states(base, table, False)
        return Windows(table, scores, self.steps, self.window_s, self.fps, self.most_gap, motion=self.motion, motion_states=moving)


class TemporalTask(nn.Module):
    """The head under its loss."""

    def __init__(self, head: TemporalHead, frequency: Tensor, settings: StateLossConfig) -> None:
        super().__init__()
        self.head, self.settings = head, settings
        self.register_buffer("frequency", frequency)
        self.frequency: Tensor

    def forward(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        features, present, holds, known = batch
        loss = one_state_loss if self.head.architecture.head == "softmax" else many_states_loss
        return {"states": loss(self.head(features, present), holds, known, self.frequency, self.settings)}

"""Training of the temporal head on annotated videos, over the scores of a part-state network that stays as it is."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.states.evaluation import evaluate_head, score_states
from parsing.states.filters import Window
from parsing.states.losses import StateLossConfig, many_states_loss, one_state_loss
from parsing.states.part_state_net import load_part_state_net
from parsing.states.sources import KineticsTPSStates
from parsing.states.temporal import TemporalArchitecture, TemporalHead, load_temporal_head
from parsing.states.windows import Windows, collate

Count = Annotated[int, Field(ge=1, le=100_000)]


@config
class StateFilterTraining:
    """A training of the temporal head.

    Args:
        base: weights of the part-state network that it follows.
        fps: of the annotated videos, which tells the time between frames.
        most_gap: frames that a person may be missing between two annotated frames of its track.
    """

    name: Literal["temporal_head"]
    base: str
    data: KineticsTPSStates
    fit: FitConfig
    loss: StateLossConfig = field(default_factory=StateLossConfig)
    steps: Annotated[int, Field(ge=1, le=8)] = 2
    window_s: Window = 0.6
    dim: Count = 64
    depth: Count = 2
    fps: Annotated[float, Field(gt=0, le=1000)] = 25.0
    most_gap: Count = 10

    def prepare(self, device: str) -> Prepared:
        base, vocabulary = load_part_state_net(self.base, device)
        a = TemporalArchitecture(base.architecture.head, steps=self.steps, window_s=self.window_s, dim=self.dim, depth=self.depth)
        head = TemporalHead(a, torch.from_numpy(vocabulary.allowed))
        train, val = (self._windows(split, a, device) for split in ("train", "val"))

        def score(task: nn.Module) -> Scored:
            head = cast(TemporalTask, task).head
            return Scored(head, evaluate_head(head, val, vocabulary, device))

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

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """Figures on the validation videos: `single` of the network alone, `all` with the head."""
        head, vocabulary = load_temporal_head(weights, device)
        return evaluate_head(head, self._windows("val", head.architecture, device), vocabulary, device)

    def _windows(self, split: Literal["train", "val"], a: TemporalArchitecture, device: str) -> Windows:
        base, vocabulary = load_part_state_net(self.base, device)
        table = self.data.table(split, vocabulary)
        if not len(table):
            raise InputError(f"{self.data.root}: no person with part states in the {split} split")
        frames = np.array([int(path.stem.removeprefix("img_")) for path in table.paths])
        found = torch.from_numpy(score_states(base, table, device, actions=False))
        with torch.inference_mode():  # as the pipeline's stage gives them
            scores = base.decoder.cpu()(found, None).numpy()
        return Windows(table, scores, frames, a.steps, self.fps, self.most_gap)


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

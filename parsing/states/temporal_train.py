"""Training of the temporal head on annotated videos, over the scores of a part-state network that stays as it is."""

from __future__ import annotations

from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config
from parsing.errors import InputError
from parsing.learning.experiment import Evaluated, experiment
from parsing.learning.fit import Epoch, FitConfig, fit
from parsing.learning.runs import RunFolder
from parsing.networks.weights import WeightsHeader
from parsing.states.evaluation import evaluate_head, score_states
from parsing.states.filters import Window
from parsing.states.losses import StateLossConfig, many_states_loss, one_state_loss
from parsing.states.part_state_net import load_part_state_net
from parsing.states.sources import KineticsTPSStates
from parsing.states.temporal import TemporalArchitecture, TemporalHead, load_temporal_head
from parsing.states.windows import Windows, collate
from parsing.vocabulary import Vocabulary

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

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; the best epoch is that of the best mean AP."""
        base, vocabulary = load_part_state_net(self.base, device)
        a = TemporalArchitecture(base.architecture.head, steps=self.steps, window_s=self.window_s, dim=self.dim, depth=self.depth)
        torch.manual_seed(self.fit.seed)
        head = TemporalHead(a, torch.from_numpy(vocabulary.allowed))
        train, val = (self._windows(split, a, device) for split in ("train", "val"))
        run = RunFolder(out, asdict(self), resume)
        task = TemporalTask(head, train.table.frequency, self.loss)
        epochs = fit(task, train, collate, self.fit, run, device=device, resume=resume, quiet=quiet)

        def judged(epoch: Epoch) -> Evaluated:
            return self._evaluated(epoch, val, vocabulary, device)

        experiment(epochs, judged, run, self.fit.epochs, 1, ("all", "mean_ap"))

    def _evaluated(self, epoch: Epoch, val: Windows, vocabulary: Vocabulary, device: str) -> Evaluated:
        head = cast(TemporalTask, epoch.module).head
        metrics = evaluate_head(head, val, vocabulary, device)
        training = {"epoch": epoch.number, "fit": asdict(self.fit), "data": asdict(self.data), "base": self.base}
        header = WeightsHeader(self.name, asdict(head.architecture), vocabulary.to_json(), metrics, training)
        text = f"mAP {metrics['all']['mean_ap'] or 0.0:.4f}, single frames {metrics['single']['mean_ap'] or 0.0:.4f}"
        return Evaluated(head, header, text)

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

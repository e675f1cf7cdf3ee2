"""Training of the temporal head on annotated videos, over the scores of a part-state network that stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from parsing.batching import BatchSize
from parsing.configs import config
from parsing.errors import InputError
from parsing.learning.experiment import Evaluated, experiment
from parsing.learning.fit import Epoch, FitConfig, fit
from parsing.learning.runs import RunFolder
from parsing.networks.weights import WeightsHeader
from parsing.recorded.stages import match_boxes
from parsing.states.data import StateTable
from parsing.states.filters import Window
from parsing.states.losses import StateLossConfig, many_states_loss, one_state_loss
from parsing.states.metrics import state_metrics
from parsing.states.network import state_scores
from parsing.states.part_state_net import load_part_state_net
from parsing.states.sources import KineticsTPSStates
from parsing.states.temporal import TemporalArchitecture, TemporalHead, empty_window, load_temporal_head, slot_features
from parsing.states.train import frequencies, score_states
from parsing.types import Array
from parsing.vocabulary import Vocabulary

NEIGHBOUR_DROP = 0.15  # tracks lose persons, and videos end

Count = Annotated[int, Field(ge=1, le=100_000)]
# Features, presence, holds, known.
TemporalItem = tuple[Array, Array, Array, Array]


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
        task = TemporalTask(head, frequencies(train.table), self.loss)
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
        table = self.data.table(split, vocabulary.states, vocabulary.actions)
        if not len(table):
            raise InputError(f"{self.data.root}: no person with part states in the {split} split")
        frames = np.array([int(path.stem.removeprefix("img_")) for path in table.paths])
        found = torch.from_numpy(score_states(base, table, device, actions=False))
        with torch.inference_mode():  # as the pipeline's stage gives them
            scores = base.decoder.cpu()(found, None).numpy()
        return Windows(table, scores, frames, a.steps, self.fps, self.most_gap)


class Windows:
    """Windows around every annotated person, along tracks that link persons who overlap from frame to frame."""

    def __init__(self, table: StateTable, scores: Array, frames: Array, steps: int, fps: float, most_gap: int) -> None:
        self.table, self.steps, self.times = table, steps, frames / fps
        self.following = link(table, frames, most_gap)
        self.preceding = np.full(len(table), -1)
        linked = np.flatnonzero(self.following >= 0)
        self.preceding[self.following[linked]] = linked
        self.scores = scores

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: int | tuple[int, int]) -> TemporalItem:
        """A window; the trainer's (index, seed) loses neighbours at random."""
        index, random = (key[0], np.random.default_rng(key[1])) if isinstance(key, tuple) else (key, None)
        t = self.table
        _, p, s = self.scores.shape
        features, present = empty_window(1, 2 * self.steps + 1, p, s)
        for slot, row in self._rows(index):
            if slot != self.steps and random is not None and random.random() < NEIGHBOUR_DROP:
                continue
            at = slice(row, row + 1)
            values = self.scores[at], t.person_xyxy[at], t.boxes[at], t.visible[at]
            features[:, slot] = slot_features(*values, self.times[row] - self.times[index])
            present[:, slot] = t.visible[row]
        return features[0], present[0], t.holds[index], t.known[index]

    def _rows(self, index: int) -> list[tuple[int, int]]:
        rows = [(self.steps, index)]
        for direction, links in ((-1, self.preceding), (1, self.following)):
            row = index
            for step in range(1, self.steps + 1):
                row = int(links[row])
                if row < 0:
                    break
                rows.append((self.steps + direction * step, row))
        return rows


def link(table: StateTable, frames: Array, most_gap: int) -> Array:
    """(N,) the row that shows each person in the next annotated frame of its video, -1 for none."""
    following = np.full(len(table), -1)
    for video in np.unique(table.videos):
        rows = np.flatnonzero(table.videos == video)
        numbers = np.unique(frames[rows])
        for now, then in pairwise(numbers):
            if then - now <= most_gap:
                first, second = rows[frames[rows] == now], rows[frames[rows] == then]
                i, j = match_boxes(table.person_xyxy[first], table.person_xyxy[second])
                following[first[i]] = second[j]
    return following


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


def collate(items: list[TemporalItem]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.stack(column)) for column in zip(*items, strict=True))


def evaluate_head(head: TemporalHead, windows: Windows, vocabulary: Vocabulary, device: str) -> dict[str, Any]:
    """Figures of the network alone and with the head on the same persons."""
    head.eval().to(device)

    def rows(some: Sequence[int]) -> Array:
        features, present, *_ = collate([windows[i] for i in some])
        logits = head(features.to(device), present.to(device))
        return np.asarray(state_scores(logits, head.architecture.head).cpu().numpy())

    with torch.inference_mode():
        found = BatchSize("state_filter", 256).map(rows, range(len(windows)))
    t = windows.table
    scores = {"all": np.stack(found), "single": windows.scores}
    return {name: state_metrics(value, t.holds, t.known, vocabulary) for name, value in scores.items()}

"""A small head over a track's parts through time: it sees what moves, which a single picture does not show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.networks.initial import NamedRows, Rows
from parsing.networks.weights import model_facts, read_header, restore, weights_path
from parsing.stages import Item
from parsing.states.decoding import exclude
from parsing.states.filters import Window, neighbourhoods
from parsing.states.network import Head, state_scores
from parsing.states.observations import GEOMETRY, MOTION, Observations
from parsing.tracks import same_track
from parsing.types import Array, FrameParse, ModelFacts, PartStates
from parsing.vocabulary import Vocabulary


@config
class TemporalArchitecture:
    """What the head is made of; travels in the header of its weights.

    Args:
        steps: key frames to each side of the one that is scored.
        window_s: how far these may lie away.
        spacing_s: how far apart they lie at least; key frames may come faster than those it was trained on.
        motion: whether the head sees how parts move from one key frame to the next, beside where they are.
        dim: width; `depth` counts convolutions over time.
        head: of the part-state network that it follows.
    """

    head: Head
    steps: Annotated[int, Field(ge=1, le=8)] = 2
    window_s: Window = 0.6
    spacing_s: Annotated[float, Field(ge=0, le=10)] = 0.15
    motion: bool = False
    dim: Annotated[int, Field(ge=1, le=1024)] = 64
    depth: Annotated[int, Field(ge=1, le=24)] = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class TemporalHead(nn.Module):
    """Corrects the scores of the middle of a window.

    Args:
        allowed: (P, S) bool.
    """

    def __init__(self, architecture: TemporalArchitecture, allowed: Tensor) -> None:
        super().__init__()
        a = self.architecture = architecture
        num_parts, num_states = allowed.shape
        seen = GEOMETRY + (MOTION if a.motion else 0)
        self.named_rows: NamedRows = {
            "part_embedding": (Rows("parts"),),
            r"input\.weight": (Rows("states", 1, after=seen),),
            r"output\..*": (Rows("states"),),
        }
        self.input = nn.Linear(num_states + seen, a.dim)
        self.part_embedding = nn.Parameter(torch.randn(num_parts, a.dim) * 0.02)
        self.convolutions = nn.ModuleList(nn.Conv1d(a.dim, a.dim, 3, padding=1) for _ in range(a.depth))
        self.dropout = nn.Dropout(a.dropout)
        self.output = nn.Linear(2 * a.dim, num_states)
        nn.init.zeros_(self.output.weight)  # it starts by changing nothing
        nn.init.zeros_(self.output.bias)
        self.register_buffer("allowed", allowed, persistent=False)
        self.allowed: Tensor

    def forward(self, features: Tensor, present: Tensor) -> Tensor:
        """Logits (N, P, S) for the middle of each window.

        Args:
            features: (N, T, P, F) of `Observations`, the S scores first.
            present: (N, T, P) bool: where the track has the part.
        """
        n, t, p, _ = features.shape
        mask = present[..., None].float()
        x = (self.input(features) + self.part_embedding) * mask
        x = x.permute(0, 2, 3, 1).reshape(n * p, -1, t)
        within = mask.permute(0, 2, 3, 1).reshape(n * p, 1, t)
        for convolution in self.convolutions:
            x = (x + torch.nn.functional.gelu(convolution(self.dropout(x)))) * within
        middle, most = x[..., t // 2], x.amax(-1)
        change = self.output(torch.cat([middle, most], -1)).view(n, p, -1)
        scores = features[:, t // 2, :, : self.allowed.shape[1]].clamp(1e-4, 1 - 1e-4)
        logits = scores.log() if self.architecture.head == "softmax" else torch.logit(scores)
        changed: Tensor = (logits + change).masked_fill(~self.allowed, -torch.inf)
        return changed


@config
class TemporalHeadConfig:
    """Options of the temporal head at run time."""

    name: Literal["temporal_head"]
    weights: str = "default/state_filter"

    def build(self, device: str) -> TemporalFilter:
        head, vocabulary = load_temporal_head(self.weights, device)
        return TemporalFilter(head, vocabulary, device, model_facts("state_filter", self, self.weights))


def load_temporal_head(weights: str, device: str) -> tuple[TemporalHead, Vocabulary]:
    """The head that a weights file describes, and the vocabulary it was trained for."""
    header, path = read_header(weights, "temporal_head"), weights_path(weights)
    architecture = parse_config(TemporalArchitecture, header.architecture, str(path))
    vocabulary = Vocabulary.of_weights(header.labels, path)
    head = restore(lambda: TemporalHead(architecture, torch.from_numpy(vocabulary.allowed)), weights)
    return head.eval().to(device), vocabulary


class TemporalFilter:
    """Runs the head over every key frame of a stream; persons without a track are scored alone."""

    def __init__(self, head: TemporalHead, vocabulary: Vocabulary, device: str, facts: ModelFacts) -> None:
        self.head, self.vocabulary, self.device, self.facts = head, vocabulary, device, facts

    def check(self, vocabulary: Vocabulary) -> None:
        """Raises InputError where the part-state network has other parts or states."""
        if (vocabulary.parts, vocabulary.states) != (self.vocabulary.parts, self.vocabulary.states):
            raise InputError("state_filter: its weights and those of part_states differ in their parts or states")

    def __call__(self, items: Iterable[Item], *, waits: bool = True) -> Iterator[Item]:
        for frame, parse, others in neighbourhoods(items, self.head.architecture.window_s, waits):
            yield frame, parse if parse is None or not len(parse.persons) else self._judged(parse, others)

    @torch.inference_mode()
    def _judged(self, parse: FrameParse, others: Sequence[FrameParse]) -> FrameParse:
        features, present = self._window(parse, others)
        logits = self.head(torch.from_numpy(features).to(self.device), torch.from_numpy(present).to(self.device))
        scores = state_scores(logits, self.head.architecture.head)
        return replace(parse, states=PartStates(exclude(scores.cpu().numpy() * parse.parts.visible[..., None], self.vocabulary)))

    def _window(self, parse: FrameParse, others: Sequence[FrameParse]) -> tuple[Array, Array]:
        steps = self.head.architecture.steps
        before = self._spaced(parse, reversed([other for other in others if other.time_s < parse.time_s]))
        after = self._spaced(parse, [other for other in others if other.time_s > parse.time_s])
        slots = [(steps - 1 - i, other) for i, other in enumerate(before)] + [(steps + 1 + i, other) for i, other in enumerate(after)]
        n, p, s = parse.states.scores.shape
        seen = Observations.empty(n, 2 * steps + 1, p, s)
        for slot, other in [(steps, parse), *slots]:
            rows, columns = (np.arange(n), np.arange(n)) if other is parse else same_track(parse, other)
            scores, persons = other.states.scores[columns], other.persons.xyxy[columns]
            parts, visible = other.parts.xyxy[columns], other.parts.visible[columns]
            seen.put(rows, slot, scores, persons, parts, visible, other.time_s - parse.time_s)
        return seen.features(self.head.architecture.motion), seen.visible

    def _spaced(self, parse: FrameParse, outwards: Iterable[FrameParse]) -> list[FrameParse]:
        """The first `steps` neighbours on the way out that lie far enough apart."""
        kept = [parse]
        for other in outwards:
            if abs(other.time_s - kept[-1].time_s) >= self.head.architecture.spacing_s and len(kept) <= self.head.architecture.steps:
                kept.append(other)
        return kept[1:]

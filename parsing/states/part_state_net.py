"""The part-state network as the pipeline's stage."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from parsing.batching import BatchSize
from parsing.configs import Choice, Count, StageConfig, config, parse_config
from parsing.errors import InputError
from parsing.geometry import Crop
from parsing.networks.device_images import crop_images
from parsing.networks.pieces import run_on
from parsing.networks.placing import PrecisionChoice, chosen_precision, computing_in, short_after, to_device
from parsing.networks.runtimes import Precision, Runtime
from parsing.networks.weights import model_facts, read_header, restore, weights_path
from parsing.stages import PartStateRecognizer
from parsing.states import PART_STATES
from parsing.states.decoding import StateDecoder, exclude
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.threads import in_threads
from parsing.types import Array, Detections, Frame, ModelFacts, Parts, PartStates
from parsing.vocabulary import Vocabulary

Scale = Annotated[float, Field(gt=0, le=4)]


@config
class PartStateNetConfig:
    """Options of the part-state network at run time.

    Args:
        batch_size: persons that go through the network together.
        scales: factors on the width of a person's crop; each is a view of its own (test-time augmentation).
        flip: also look at the mirrored crop, left and right swapped.
        precision: see `parsing.networks.placing`; bfloat16 is faster on processors and GPUs that have it.
        runtime: what computes the network, see `parsing.networks.pieces`; `auto` is OpenVINO on CPUs, PyTorch on GPUs.
    """

    in_threads: ClassVar[bool] = True  # the component may be called in several threads at a time
    name: Literal["part_state_net"]
    weights: str = "default/part_states"
    batch_size: Count = 16
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (1.0,)
    flip: bool = False
    precision: PrecisionChoice = "auto"
    runtime: Runtime = "auto"

    def build(self, device: str) -> PartStateStage:
        network, vocabulary = load_part_state_net(self.weights, device)
        precision = chosen_precision(self.precision, self.runtime, device, self.weights)
        runtime = run_on(network, network.pieces(), self.runtime, device, precision, "part_states", short_after(self.weights))
        facts = model_facts("part_states", replace(self, runtime=runtime, precision=precision), self.weights)
        return PartStateStage(network, vocabulary, device, self.batch_size, self.scales, self.flip, precision, facts)


@config
class StateEnsembleConfig:
    """Several part-state components, over networks or epochs, whose scores are averaged.

    Args:
        members: their configs; all must share one vocabulary.
        weights: how much each counts; empty counts all alike.
    """

    name: Literal["ensemble"]
    members: Annotated[tuple[Annotated[StageConfig, Choice(PART_STATES)], ...], Field(min_length=1)]
    weights: tuple[Annotated[float, Field(ge=0, le=1e6)], ...] = ()

    def build(self, device: str) -> StateEnsemble:
        stages: list[PartStateRecognizer] = [member.build(device) for member in self.members]
        shares = self.weights or (1.0,) * len(stages)
        if len(shares) != len(stages) or not sum(shares):
            raise InputError(f"part_states.weights: {list(shares)}, expected {len(stages)} numbers that are not all 0")
        for stage in stages[1:]:
            if stage.vocabulary != stages[0].vocabulary:
                raise InputError(f"part_states.members: {stage.facts.config} has another vocabulary than the first member")
        return StateEnsemble(stages, np.array(shares) / sum(shares), facts=model_facts("part_states", self))


class StateEnsemble:
    """The weighted mean of its members' scores."""

    def __init__(
        self, members: Sequence[PartStateRecognizer], shares: Array, facts: ModelFacts = ModelFacts("part_states", "ensemble", None, "{}")
    ) -> None:
        self.facts = facts
        self.members, self.shares, self.vocabulary = members, shares, members[0].vocabulary

    def __call__(
        self, frames: Sequence[Frame], persons: Sequence[Detections], parts: Sequence[Parts], actions: Array | None
    ) -> list[PartStates]:
        found = [member(frames, persons, parts, actions) for member in self.members]
        mixed = [sum(w * s.scores for w, s in zip(self.shares, column, strict=True)) for column in zip(*found, strict=True)]
        return [PartStates(np.clip(scores, 0, 1)) for scores in mixed]


@in_threads(1)
def load_part_state_net(weights: str, device: str) -> tuple[PartStateNet, Vocabulary]:
    """The network that a weights file describes, ready to run, and the vocabulary it was trained for.

    Raises:
        InputError: the file is not of this component, or its header is not whole.
    """
    header, path = read_header(weights, "part_state_net"), weights_path(weights)
    architecture = parse_config(PartStateArchitecture, header.architecture, str(path))
    vocabulary = Vocabulary.of_weights(header.labels, path)
    network = restore(lambda: PartStateNet(architecture, torch.from_numpy(vocabulary.allowed), len(vocabulary.actions)), weights)
    return network.eval().to(device).to(memory_format=torch.channels_last), vocabulary  # type: ignore[call-overload]


class _Shown(NamedTuple):
    """A person of a frame: box (4,) px, boxes (P, 4) px of the parts, and which of these are visible (P,)."""

    frame: Frame
    xyxy: Array
    parts: Array
    visible: Array


class PartStateStage:
    """States of the visible parts of every person, from crops that run together."""

    def __init__(
        self,
        network: PartStateNet,
        vocabulary: Vocabulary,
        device: str,
        batch_size: int,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        precision: Precision = "float32",
        facts: ModelFacts = ModelFacts("part_states", "part_state_net", None, "{}"),
    ) -> None:
        self.facts = facts
        self.network, self.decoder, self.vocabulary, self.device = network, network.decoder, vocabulary, device
        self.batches = BatchSize("part_states", batch_size)
        self.scales, self.flip, self.swap, self.precision = scales, flip, vocabulary.swap, precision

    def __call__(
        self, frames: Sequence[Frame], persons: Sequence[Detections], parts: Sequence[Parts], actions: Array | None
    ) -> list[PartStates]:
        columns = zip(frames, persons, parts, strict=True)
        groups = [
            [_Shown(frame, *row) for row in zip(found.xyxy, boxes.xyxy, boxes.visible, strict=True)] for frame, found, boxes in columns
        ]
        shape = -1, len(self.vocabulary.parts), len(self.vocabulary.states)
        scored = self.batches.map_groups(partial(self._score, actions=actions), groups, together=self.device != "cpu")
        return [PartStates(np.array(rows, np.float32).reshape(shape)) for rows in scored]

    def undecoded(self) -> PartStateStage:
        """The same stage with the network's own probabilities."""
        plain, words = copy(self), self.vocabulary
        plain.decoder = StateDecoder(len(words.parts), len(words.actions), len(words.states)).to(self.device)
        plain.vocabulary = replace(words, exclusive=())
        return plain

    @torch.inference_mode()
    def _score(self, some: Sequence[_Shown], actions: Array | None) -> Array:
        """(N, P, S): the mean over the views, then the decoder that was fitted with the weights."""
        known = None if actions is None else torch.as_tensor(actions, dtype=torch.float32, device=self.device).expand(len(some), -1)
        shown = to_device(np.stack([one.visible for one in some]), self.device)
        with computing_in(self.precision, self.device):
            views = [self._view(some, shown, known, scale) for scale in self.scales]
        scores = self.decoder(torch.stack(views).mean(0), known)
        return exclude((scores * shown[..., None]).cpu().numpy(), self.vocabulary)

    def _view(self, some: Sequence[_Shown], shown: Tensor, actions: Tensor | None, scale: float) -> Tensor:
        a = self.network.architecture
        crops = [Crop.around(one.xyxy, a.input_px, a.context * scale) for one in some]
        images = torch.stack(crop_images([one.frame.image for one in some], crops, self.device)).permute(0, 3, 1, 2)  # stays channels_last
        boxes = np.stack([crop.to_crop(one.parts) * one.visible[:, None] for crop, one in zip(crops, some, strict=True)])
        placed = to_device(boxes.astype(np.float32), self.device)
        scores = self.network.scores(self.network(images, placed, shown, actions))
        if not self.flip:
            return scores
        x1, y1, x2, y2 = placed.unbind(-1)
        mirrored = torch.stack([a.input_px - x2, y1, a.input_px - x1, y2], -1) * shown[..., None]
        other = self.network.scores(self.network(images.flip(3), mirrored[:, self.swap], shown[:, self.swap], actions))
        return (scores + other[:, self.swap]) / 2

"""Any video network as the pipeline's recognizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from parsing.batching import BatchSize
from parsing.configs import Count, config, parse_config
from parsing.errors import InputError
from parsing.networks.graph_methods import late
from parsing.networks.pieces import Piece, noise, run_on
from parsing.networks.placing import PrecisionChoice, chosen_precision, computing_in, short_after, to_device
from parsing.networks.runtimes import Precision, Runtime, chosen_runtime
from parsing.networks.weights import model_facts, read_header, restore, weights_path
from parsing.types import ActionScores, Array, Frame, ModelFacts
from recognizers.clips.flow import network_input
from recognizers.clips.test_views import View
from recognizers.labels import ActionLabels
from recognizers.networks import Architecture, NetworkName, parse_architecture
from recognizers.networks.folding import fold_norms


@config
class VideoRecognizerConfig:
    """Options of a video network at run time.

    Args:
        views: ways to look at the video, all averaged; None takes those that its training was evaluated with.
        average: over logits, before the softmax, as the VIPriors report does; or over probabilities.
        batch_size: clips that go through the network together.
        precision: see `parsing.networks.placing`; bfloat16 is faster on processors and GPUs that have it.
        runtime: what computes the network, see `parsing.networks.pieces`; `auto` is OpenVINO on CPUs, PyTorch on GPUs.
    """

    name: NetworkName
    weights: str = "default/recognizer"
    views: Annotated[tuple[View, ...], Field(min_length=1)] | None = None
    average: Literal["logits", "probabilities"] = "logits"
    batch_size: Count = 4
    precision: PrecisionChoice = "auto"
    runtime: Runtime = "auto"

    def build(self, device: str) -> VideoRecognizer:
        architecture, labels = described(self.name, self.weights)
        views = self.views or _trained_views(self.name, self.weights)
        precision = chosen_precision(self.precision, self.runtime, device, self.weights)
        runtime: Runtime = chosen_runtime(self.runtime, device)

        def build() -> nn.Module:
            nonlocal runtime
            built, _, _ = load_recognizer(self.name, self.weights, device)
            fold_norms(built)
            runtime = run_on(built, clip_pieces(architecture), self.runtime, device, precision, "recognizer", short_after(self.weights))
            return built

        network = late(build)
        facts = model_facts("recognizer", replace(self, views=views, runtime=runtime, precision=precision), self.weights)
        return VideoRecognizer(network, architecture, labels, device, views, self.average, self.batch_size, precision, facts)


def clip_pieces(architecture: Architecture) -> tuple[Piece, ...]:
    """A video network as one piece, which takes any number of clips."""
    side, frames = architecture.input_px, architecture.sampling.clip_frames
    channels = 6 if architecture.input == "rgb_flow" else 3
    one, other = ((clips, frames, channels, side, side) for clips in (1, 2))
    return (Piece("forward", noise(one, other), one_by_one=True),)


def _trained_views(name: NetworkName, weights: str) -> tuple[View, ...]:
    """Those that the header of a file names; two clips where it names none."""
    named = read_header(weights, name).training.get("views") or [{"clips": 2}]
    if not isinstance(named, list):
        raise InputError(f"{weights_path(weights)}: views: {named!r:.60}, expected a list")
    return tuple(parse_config(View, view, f"{weights_path(weights)}: views") for view in named)


def load_recognizer(name: NetworkName, weights: str, device: str) -> tuple[nn.Module, Architecture, ActionLabels]:
    """The network that a weights file describes, ready to run, its architecture, and its actions.

    Raises:
        InputError: the file is not of this network, or its header is not whole.
    """
    architecture, labels = described(name, weights)
    network = restore(lambda: architecture.build(labels.names), weights)
    return network.eval().to(device), architecture, labels


def described(name: NetworkName, weights: str) -> tuple[Architecture, ActionLabels]:
    """What the header of a weights file says of its network.

    Raises:
        InputError: the file is not of this network, or its header is not whole.
    """
    header, path = read_header(weights, name), str(weights_path(weights))
    return parse_architecture(name, header.architecture, path), ActionLabels.from_header(header, path)


class VideoRecognizer:
    """A video network behind the views of a clip, which are averaged."""

    def __init__(
        self,
        network: Callable[..., Any],
        architecture: Architecture,
        labels: ActionLabels,
        device: str,
        views: Sequence[View] = (View(clips=2),),
        average: Literal["logits", "probabilities"] = "logits",
        batch_size: int = 4,
        precision: Precision = "float32",
        facts: ModelFacts = ModelFacts("recognizer", "video", None, "{}"),  # frozen
    ) -> None:
        self.network, self.architecture, self.labels, self.device = network, architecture, labels, device
        self.precision = precision
        self.views, self.average, self.batches = views, average, BatchSize("recognizer", batch_size)
        self.action_names, self.multi_label, self.background = labels.names, labels.multi_label, labels.background
        self.models: tuple[ModelFacts, ...] = (facts,)
        # More than half of the frames that a clip samples; networks are hardly trained on clips that repeat more.
        self.least_frames = max(len(clip) for clip in self.clips(1)) // 2 + 1
        self.mirror = labels.mirrored() if any(view.flip for view in views) else None

    def with_clips(self, most: int) -> VideoRecognizer:
        """The same network looking at no more clips than this in each view."""
        fewer = copy(self)
        fewer.views = [replace(view, clips=min(view.clips, most)) for view in self.views]
        return fewer

    def clips(self, num_frames: int) -> list[Array]:
        """(T,) places of the frames of each clip that the network sees, view after view."""
        return [clip for view in self.views for clip in view.sample(self.architecture.sampling, num_frames)]

    def indices(self, num_frames: int) -> Array:
        """(K,) sorted places of all frames that the views look at."""
        return np.unique(np.concatenate(self.clips(num_frames)))

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        """Scores of one video or window, averaged over the clips of the views."""
        logits = torch.from_numpy(self.logits([[frames[int(i)] for i in clip] for clip in self.clips(num_frames)]))
        logits = logits if self.average == "probabilities" else logits.mean(0, keepdim=True)
        probabilities = np.asarray(self.labels.probabilities(logits).mean(0))
        return ActionScores.of(
            probabilities.clip(0, 1), self.multi_label, self.models, [self.action_names.index(n) for n in self.background]
        )

    @torch.inference_mode()
    def logits(self, clips: Sequence[Sequence[Frame]]) -> Array:
        """(C, A) of each clip, those of mirrored clips put back."""
        views = [view for view in self.views for _ in range(view.clips)]
        return np.stack(self.batches.map(self._rows, list(zip(views, clips, strict=True))))

    def _rows(self, some: Sequence[tuple[View, Sequence[Frame]]]) -> list[Array]:
        """(A,) logits of each of some clips."""
        a = self.architecture
        shown = [view.pixels([frame.image for frame in clip], a.input_px) for view, clip in some]
        pixels = np.stack([network_input(frames, a.input, a.sampling) for frames in shown])
        inputs = to_device(pixels, self.device).permute(0, 1, 4, 2, 3).float() / 255
        with computing_in(self.precision, self.device):
            found = np.asarray(self.network(inputs).float().cpu().numpy())
        return [row[self.mirror] if view.flip else row for (view, _), row in zip(some, found, strict=True)]

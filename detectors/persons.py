"""Detection networks as the pipeline's person detector."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from detectors.inputs import common_sizes, padded_px, resized_hw, view_candidates
from detectors.networks import DetectionNetwork, NetworkName, load_network
from detectors.suppression import Suppression, class_thresholds, select_boxes
from parsing.batching import BatchSize
from parsing.configs import Count, Share, config
from parsing.datasets.records import PERSON
from parsing.errors import InputError
from parsing.geometry import clip_boxes
from parsing.networks.graph_methods import GraphMethod
from parsing.networks.pieces import run_on
from parsing.networks.placing import PrecisionChoice, chosen_precision, short_after
from parsing.networks.runtimes import Precision, Runtime
from parsing.networks.weights import model_facts, weights_path
from parsing.types import Detections, Frame, ModelFacts


@config
class PersonDetectorConfig:
    """Options of the person detector at run time.

    Args:
        weights: may detect other classes too, of which only `person` is used.
        input_px: longer side of the input; None takes what the weights were trained for.
        scales: factors on the input's size; each is a view of its own (test-time augmentation).
        flip: also look at the mirrored image.
        precision: see `parsing.networks.placing`; bfloat16 is faster on processors and GPUs that have it, and moves boxes a little.
        runtime: what computes the network, see `parsing.networks.pieces`; `auto` is OpenVINO on CPUs, PyTorch on GPUs.
    """

    in_threads: ClassVar[bool] = True  # the component may be called in several threads at a time
    name: NetworkName
    weights: str = "default/person_detector"
    score_threshold: Share = 0.3
    suppression: Suppression = field(default_factory=Suppression)
    max_persons: Count = 50
    input_px: Annotated[int, Field(ge=64, le=4096)] | None = None
    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=4)], ...], Field(min_length=1)] = (1.0,)
    flip: bool = False
    precision: PrecisionChoice = "auto"
    runtime: Runtime = "auto"

    def build(self, device: str) -> NetworkPersonDetector:
        network = load_network(self.name, self.weights, None, device)
        names = network.architecture.class_names
        if PERSON not in names:
            raise InputError(f"{weights_path(self.weights)}: detects {', '.join(names)}; expected {PERSON}")
        precision = chosen_precision(self.precision, self.runtime, device, self.weights)
        sizes = common_sizes(self.input_px or network.architecture.input_px, network.architecture.shorter_px)
        pieces = [piece.with_sizes(sizes) for piece in network.pieces()]
        runtime = run_on(network, pieces, self.runtime, device, precision, "person_detector", short_after(self.weights))
        return NetworkPersonDetector(
            network,
            device,
            self.score_threshold,
            self.suppression,
            self.max_persons,
            self.input_px,
            self.scales,
            self.flip,
            precision,
            facts=model_facts("person_detector", replace(self, runtime=runtime, precision=precision), self.weights),
        )


class NetworkPersonDetector:
    """Persons of whole frames, best first.

    Args:
        classes: names to look for, numbered in this order; a pipeline wants persons alone.
    """

    def __init__(
        self,
        network: DetectionNetwork,
        device: str,
        score_threshold: float,
        suppression: Suppression,
        max_persons: int,
        input_px: int | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        precision: Precision = "float32",
        classes: Sequence[str] = (PERSON,),
        facts: ModelFacts = ModelFacts("person_detector", "cascade_rcnn", None, "{}"),
    ) -> None:
        self.facts = facts
        self.network, self.device, self.precision = network, device, precision
        self.suppression, self.max_persons = suppression, max_persons
        self.input_px = input_px or network.architecture.input_px
        self.views = [(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))]
        self.columns = [network.architecture.class_names.index(name) for name in classes]
        self.thresholds = class_thresholds(classes, score_threshold, {})
        # On a CPU a batch of frames is no faster than one after the other, and its last digits would depend on its size.
        self.batches = BatchSize("person_detector", 1 if device == "cpu" else sys.maxsize)

    def expect(self, image_hw: tuple[int, int]) -> None:
        dense = getattr(self.network, "dense", None)
        if isinstance(dense, GraphMethod):
            height, width = resized_hw(image_hw, self.input_px, self.network.architecture.shorter_px)
            dense.expect(padded_px(height), padded_px(width))

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        return self.batches.map(self._detect, frames)

    def _detect(self, frames: Sequence[Frame]) -> list[Detections]:
        views = [
            view_candidates(self.network, frames, self.device, self.input_px * scale, flip, self.precision) for scale, flip in self.views
        ]
        return [self._select(frame, [view[i] for view in views]) for i, frame in enumerate(frames)]

    def _select(self, frame: Frame, views: list[tuple[Tensor, Tensor]]) -> Detections:
        wanted = [(boxes, scores[:, self.columns]) for boxes, scores in views]
        boxes, scores, class_ids = select_boxes(wanted, self.thresholds, self.suppression, self.max_persons, frame.image_hw)
        return Detections(clip_boxes(boxes, frame.image_hw), scores, class_ids)

"""Training and evaluation of video super-resolution on clips."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, cast

from pydantic import Field
from torch import nn

from parsing.configs import Choice, Count, StageConfig, config
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.networks.initial import start_from
from parsing.types import ModelFacts
from recognizers.superres.basicvsr import BasicVSRArchitecture
from recognizers.superres.chunks import Chunking
from recognizers.superres.data import SuperResolutionDataConfig, TrainingPairs, collate, validation_pairs
from recognizers.superres.evaluation import KINDS, evaluate_resolver
from recognizers.superres.networks import NETWORKS, NetworkName
from recognizers.superres.resolver import SuperResolver
from recognizers.superres.task import SuperResolutionTask
from recognizers.superres.video import VideoSuperResolverConfig, run_network

Weight = Annotated[float, Field(ge=0, le=1e6)]


@config
class SuperResolutionTraining:
    """A training of a network of video super-resolution.

    Args:
        initial: weights of the same network to start from (`parsing.networks.initial`); empty for none.
        freeze_flow: whether the flow network keeps its weights, as RealBasicVSR's does.
        flow_weight: of a loss on how well each frame, moved by the flow, covers its neighbour, for flow networks that start
            from nothing; 0 leaves flow to what the pictures gain by it.
        cleaning_weight: of the loss on RealBasicVSR's cleaned input against the truth at its size.
        vgg: torchvision's checkpoint of VGG-19 for the perceptual loss, `perceptual_weight` strong; empty for none.
    """

    name: NetworkName
    architecture: Annotated[BasicVSRArchitecture, Choice(NETWORKS, "name")]
    data: SuperResolutionDataConfig
    fit: FitConfig
    initial: str = ""
    freeze_flow: bool = False
    flow_weight: Weight = 0.0
    cleaning_weight: Weight = 1.0
    vgg: str = ""
    perceptual_weight: Weight = 1.0
    eval_every: Count = 1

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        a = self.architecture
        if self.flow_weight and a.flow == "none":
            raise InputError(f"flow_weight: {self.flow_weight}, but the network has no flow; expected 0")
        task = SuperResolutionTask(
            self._network(resumed), self.freeze_flow, self.flow_weight, self.cleaning_weight, self.vgg, self.perceptual_weight
        )
        pairs = TrainingPairs(self.data.clips("train", a.scale), a.scale, self.data)
        val = validation_pairs(self.data.clips("val", a.scale), a.scale, self.data)

        def score(task: nn.Module) -> Scored:
            network = cast(SuperResolutionTask, task).network.eval().to(device)
            facts = ModelFacts("super_resolution", self.name, None, "{}")
            stage = SuperResolver(partial(run_network, network, device=device), a.scale, facts, Chunking())
            return Scored(network, evaluate_resolver(stage, val))

        figures = [f"{kind}.{name}" for kind in KINDS for name in ("psnr", "bicubic_psnr")]
        return Prepared(task, pairs, collate, score, figures, a, every=self.eval_every)

    def component(self, weights: str) -> StageConfig:
        return VideoSuperResolverConfig(self.name, weights)

    def evaluate(self, stage: SuperResolver, *, device: str) -> dict[str, Any]:  # noqa: ARG002  # of the protocol
        """PSNR and SSIM on the validation clips beside those of bicubic interpolation, by degradation."""
        return evaluate_resolver(stage, validation_pairs(self.data.clips("val", stage.scale), stage.scale, self.data))

    def _network(self, resumed: bool) -> nn.Module:
        network = self.architecture.build()
        start_from(network, "" if resumed else self.initial, self.name, {}, {})
        return network

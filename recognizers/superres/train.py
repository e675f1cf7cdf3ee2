"""Training and evaluation of video super-resolution on clips."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import config
from parsing.datasets.clips import read_clip_records
from parsing.errors import InputError
from parsing.learning.fit import FitConfig, fit
from parsing.learning.runs import RunFolder
from parsing.networks.checkpoints import fill
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.types import Array, ModelFacts
from recognizers.superres.basicvsr import BasicVSR, Flows
from recognizers.superres.chunks import WHOLE
from recognizers.superres.data import SuperResolutionDataConfig, TrainingPairs, cache_frames, collate, validation_pairs
from recognizers.superres.images import bicubic
from recognizers.superres.metrics import fidelity
from recognizers.superres.networks import NetworkName, load_network, parse_architecture
from recognizers.superres.perceptual import PerceptualLoss
from recognizers.superres.realbasicvsr import RealBasicVSR
from recognizers.superres.resolver import SuperResolver
from recognizers.superres.spynet import warp
from recognizers.superres.video import run_network

log = logging.getLogger(__name__)
KINDS = ("clean", "real")  # degradations that are evaluated
Weight = Annotated[float, Field(ge=0, le=1e6)]


@config
class TrainConfig:
    """A training of a network of video super-resolution.

    Args:
        initial: weights of the same network and architecture to start from.
        freeze_flow: whether the flow network keeps its weights, as RealBasicVSR's does.
        flow_weight: of a loss on how well each frame, moved by the flow, covers its neighbour, for flow networks that start
            from nothing; 0 leaves flow to what the pictures gain by it.
        cleaning_weight: of the loss on RealBasicVSR's cleaned input against the truth at its size.
        vgg: torchvision's checkpoint of VGG-19 for the perceptual loss, `perceptual_weight` strong; empty for none.
    """

    name: NetworkName
    architecture: dict[str, Any]
    data: SuperResolutionDataConfig
    fit: FitConfig
    initial: str = ""
    freeze_flow: bool = False
    flow_weight: Weight = 0.0
    cleaning_weight: Weight = 1.0
    vgg: str = ""
    perceptual_weight: Weight = 1.0
    eval_every: Annotated[int, Field(ge=1, le=100_000)] = 1

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; `weights.safetensors` holds the last epoch."""
        a = parse_architecture(self.name, self.architecture, "architecture")
        if self.flow_weight and self.architecture.get("flow") == "none":
            raise InputError(f"flow_weight: {self.flow_weight}, but the network has no flow; expected 0")
        torch.manual_seed(self.fit.seed)  # initial weights too
        task = SuperResolutionTask(self._network(a.build()), self)
        pairs = TrainingPairs(self._clips("train", a.scale), a.scale, self.data)
        val = validation_pairs(self._clips("val", a.scale), a.scale, self.data)
        run = RunFolder(out, asdict(self), resume)
        for epoch in fit(task, pairs, collate, self.fit, run, device=device, resume=resume, quiet=quiet):
            if (epoch.number + 1) % self.eval_every and epoch.number + 1 < self.fit.epochs:
                continue
            current = cast(SuperResolutionTask, epoch.module).network
            metrics = evaluate_network(current, val, a.scale, device)
            run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **metrics})
            run.add_scalars({f"{kind}/{name}": metrics[kind][name] for kind in KINDS for name in ("psnr", "bicubic_psnr")}, epoch.number)
            log.info("epoch %d  %s", epoch.number + 1, "  ".join(f"{k} {metrics[k]['psnr']:.2f} dB" for k in KINDS))
            if run.writes:
                training = {"epoch": epoch.number, "fit": asdict(self.fit), "data": asdict(self.data)}
                header = WeightsHeader(self.name, asdict(cast(Any, a)), {}, metrics, training)
                save_weights(current, out / "weights.safetensors", header)

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """PSNR and SSIM on the validation clips beside those of bicubic interpolation, by degradation."""
        network, a = load_network(self.name, weights, device)
        return evaluate_network(network, validation_pairs(self._clips("val", a.scale), a.scale, self.data), a.scale, device)

    def _clips(self, split: str, scale: int) -> list[Array]:
        d = self.data
        records = [r for r in read_clip_records(d.format, Path(d.root), d.labels, d.classes) if r.split == split]
        if split == "train":
            clips = cache_frames([r for r in records if r.trainable], d.most_frames, d.short_side_px, d.crop_px * scale)
        else:
            spread = np.unique(np.linspace(0, len(records) - 1, min(len(records), d.most_val_clips)).round().astype(int))
            clips = cache_frames([records[i] for i in spread], d.val_frames, d.short_side_px, scale)
        if not clips:
            raise InputError(f"{Path(d.root) / d.labels}: no {split} clip of at least {d.crop_px * scale} px")
        return clips

    def _network(self, network: nn.Module) -> nn.Module:
        if self.initial:
            source, _ = load_network(self.name, self.initial, "cpu")
            fill(network, source.state_dict(), f"the architecture that is trained (initial: {self.name})", Path(self.initial))
        return network


class SuperResolutionTask(nn.Module):
    """Charbonnier loss on the pictures, and what else the config asks for."""

    def __init__(self, network: nn.Module, settings: TrainConfig) -> None:
        super().__init__()
        self.network, self.flow_weight, self.cleaning_weight = network, settings.flow_weight, settings.cleaning_weight
        if settings.freeze_flow and self.propagation.flow is not None:
            self.propagation.flow.requires_grad_(False)
        self.perceptual = [PerceptualLoss(Path(settings.vgg))] if settings.vgg else []  # in a list, for it is not trained or saved
        self.perceptual_weight = settings.perceptual_weight

    @property
    def propagation(self) -> BasicVSR:
        """The network, or what of RealBasicVSR comes after cleaning; no attribute, which would list its weights twice."""
        return self.network.basicvsr if isinstance(self.network, RealBasicVSR) else cast(BasicVSR, self.network)

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        small, large = (clips.float() / 255 for clips in batch)
        losses: dict[str, Tensor] = {}
        if isinstance(self.network, RealBasicVSR):
            small = self.network.clean(small)
            losses["cleaning"] = self.cleaning_weight * F.l1_loss(small, F.interpolate(large, (3, *small.shape[3:]), mode="area"))
        flows = self.propagation.flows(small)
        found = self.propagation.upscale(small, flows)
        losses["pixels"] = charbonnier(found, large)
        if self.flow_weight:
            losses["flow"] = self.flow_weight * flow_loss(flows, small.detach())
        for loss in self.perceptual:
            losses["perceptual"] = self.perceptual_weight * loss.to(found.device)(found.flatten(0, 1), large.flatten(0, 1))
        return losses


def charbonnier(found: Tensor, truth: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Mean of sqrt(d^2 + epsilon), an absolute difference that is smooth at 0 (Lai et al., CVPR 2017)."""
    return torch.sqrt((found - truth) ** 2 + epsilon).mean()


def flow_loss(flows: Flows, clips: Tensor) -> Tensor:
    """How far each frame lies from its neighbours as the flow moves them, without labels (Yu et al., ECCV workshops 2016)."""
    to_next, to_previous = (torch.stack(cast(list[Tensor], one), 1).flatten(0, 1) for one in flows)
    first, second = clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)
    return charbonnier(warp(second, to_next, "border"), first) + charbonnier(warp(first, to_previous, "border"), second)


def evaluate_network(network: nn.Module, val: list[dict[str, Array]], scale: int, device: str) -> dict[str, Any]:
    """PSNR (dB) and SSIM on luma, mean over clips, for the network and for bicubic interpolation, by degradation."""
    network = network.eval().to(device)
    resolver = SuperResolver(
        partial(run_network, network, device=device), scale, ModelFacts("super_resolution", "trained", None, "{}"), WHOLE
    )
    figures: dict[str, Any] = {"clips": len(val)}
    for kind in KINDS:
        ours = np.mean([fidelity(resolver(clip[kind]), clip["truth"]) for clip in val], 0)
        plain = np.mean([fidelity(bicubic(clip[kind], scale), clip["truth"]) for clip in val], 0)
        names = ("psnr", "ssim", "bicubic_psnr", "bicubic_ssim")
        figures[kind] = {name: round(float(value), 4) for name, value in zip(names, (*ours, *plain), strict=True)}
    return figures

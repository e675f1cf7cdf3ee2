"""Training and evaluation of the part-state network on COCO keypoint files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.backbones import Pretrained
from parsing.configs import config
from parsing.errors import InputError
from parsing.formats import read_coco
from parsing.pose import pose_vocabulary
from parsing.records import ImageRecord
from parsing.runs import RunFolder
from parsing.states.data import PlainCrops, StateBatch, StateCrops, StateSample, collate, rare_state_weights, state_samples
from parsing.states.metrics import state_metrics
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.part_state_net import load_part_state_net
from parsing.training import FitConfig, fit
from parsing.types import Array
from parsing.vocabulary import Vocabulary
from parsing.weights import WeightsHeader, save_weights

log = logging.getLogger(__name__)
MOST_DOUBT = 0.6  # share of a training distribution that is noise, at most


@config
class StateDataConfig:
    """COCO person_keypoints files under `root`, images under `root/images`.

    Args:
        sources: image sources to train on; empty takes all.
        action_root: another such folder whose images carry an `action`, as `scripts/label_poses.py` makes it; empty for none.
        actions: names of the recognizer's actions, in its order, that the network is conditioned on.
    """

    root: str
    train: str = "annotations_train.json"
    val: str = "annotations_val.json"
    sources: tuple[str, ...] = ()
    action_root: str = ""
    actions: tuple[str, ...] = ()
    rotation_deg: float = 15.0


@config
class TrainConfig:
    """A training of the part-state network; states come from keypoints by the rules of `parsing.pose`."""

    name: Literal["part_state_net"]
    architecture: PartStateArchitecture
    data: StateDataConfig
    fit: FitConfig
    pretrained: Pretrained = "imagenet"
    eval_every: int = 1

    def train(self, out: Path, *, device: str, resume: bool, quiet: bool) -> None:
        """Train into the run folder `out`; `weights.safetensors` holds the epoch of the best mean class accuracy."""
        root, a = Path(self.data.root), self.architecture
        vocabulary = pose_vocabulary(self.data.actions)
        samples = state_samples(self._records("train"), self.data.actions)
        if not samples:
            raise InputError(f"{root / self.data.train}: no person with keypoints to train on")
        val = state_samples(self._records("val"), self.data.actions)
        torch.manual_seed(self.fit.seed)  # initial weights too
        network = PartStateNet(a, torch.from_numpy(vocabulary.allowed), len(vocabulary.actions), self.pretrained)
        crops = StateCrops(samples, a.input_px, a.context, self.data.rotation_deg)
        run = RunFolder(out, asdict(self), resume)
        best = run.best("all", "mean_class_accuracy")
        weights = rare_state_weights(samples)
        for epoch in fit(
            StateTask(network),
            crops,
            collate,
            self.fit,
            run,
            sample_weights=weights,
            device=device,
            resume=resume,
            quiet=quiet,
        ):
            if (epoch.number + 1) % self.eval_every and epoch.number + 1 < self.fit.epochs:
                continue
            current = cast(StateTask, epoch.module).network
            metrics = evaluate_states(current, vocabulary, val, device)
            run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **metrics})
            score = metrics["all"]["mean_class_accuracy"] or 0.0
            log.info("epoch %d  mean class accuracy %.4f  mAP %.4f", epoch.number + 1, score, metrics["all"]["mean_ap"] or 0.0)
            if score > best:
                best = score
                training = {"epoch": epoch.number, "fit": asdict(self.fit), "data": asdict(self.data), "pretrained": self.pretrained}
                save_weights(
                    current, out / "weights.safetensors", WeightsHeader(self.name, asdict(a), vocabulary.to_json(), metrics, training)
                )

    def evaluate(self, weights: str, *, device: str) -> dict[str, Any]:
        """Figures on the validation file with its true part boxes, for all persons and for each source of images."""
        network, vocabulary = load_part_state_net(weights, device)
        return evaluate_states(network, vocabulary, state_samples(self._records("val"), vocabulary.actions), device)

    def _records(self, split: Literal["train", "val"]) -> list[ImageRecord]:
        root, name = Path(self.data.root), self.data.train if split == "train" else self.data.val
        records = read_coco(root / name, root / "images", self.data.sources if split == "train" else ())
        if self.data.action_root:
            acting = Path(self.data.action_root)
            records += read_coco(acting / name, acting / "images")
        return records


class StateTask(nn.Module):
    """Binary cross-entropy over the states that are known."""

    def __init__(self, network: PartStateNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: StateBatch) -> dict[str, Tensor]:
        actions, action_known = self._distributions(batch.actions)
        logits = self.network(batch.crops.float() / 255, batch.boxes, batch.visible, actions, action_known)
        known = batch.known & self.network.allowed
        return {"states": F.binary_cross_entropy_with_logits(logits[known], batch.holds[known].float())}

    def _distributions(self, actions: Tensor) -> tuple[Tensor | None, Tensor]:
        """(B, A) what a recognizer might say of each action: the truth, mixed with up to MOST_DOUBT of anything."""
        known, num_actions = actions >= 0, self.network.num_actions
        if num_actions == 0:
            return None, known
        noise = torch.rand(len(actions), num_actions, device=actions.device).pow(4)
        doubt = torch.rand(len(actions), 1, device=actions.device) * MOST_DOUBT
        truth = F.one_hot(actions.clamp_min(0), num_actions).float()
        return (1 - doubt) * truth + doubt * noise / noise.sum(1, keepdim=True), known


def evaluate_states(network: PartStateNet, vocabulary: Vocabulary, samples: Sequence[StateSample], device: str) -> dict[str, Any]:
    """Figures over all persons (`all`) and over each source of images, none told its action.

    `action_hidden` and `action_given` compare the same persons, those whose action is known, without and with it.
    """
    network.eval().to(device)
    holds, known = np.stack([s.holds for s in samples]), np.stack([s.known for s in samples])
    sources = np.array([sample.source for sample in samples])
    groups = {"all": np.ones(len(samples), bool)} | {source: sources == source for source in sorted(set(sources.tolist()))}
    scores = score_states(network, samples, device, actions=False)
    metrics = {name: state_metrics(scores[rows], holds[rows], known[rows], vocabulary) for name, rows in groups.items()}
    acting = [i for i, sample in enumerate(samples) if sample.action >= 0]
    if acting:
        given = score_states(network, [samples[i] for i in acting], device, actions=True)
        for name, found in (("action_hidden", scores[acting]), ("action_given", given)):
            metrics[name] = state_metrics(found, holds[acting], known[acting], vocabulary)
    return metrics


def score_states(network: PartStateNet, samples: Sequence[StateSample], device: str, actions: bool) -> Array:
    """(N, P, S) probabilities; with `actions`, conditioned on each sample's action, which must then be known."""
    crops = PlainCrops(samples, network.architecture.input_px, network.architecture.context)
    scores = []
    with torch.inference_mode():
        for start in range(0, len(crops), 32):
            batch = collate([crops[i] for i in range(start, min(start + 32, len(crops)))]).to(device)
            given = F.one_hot(batch.actions, network.num_actions).float() if actions else None
            scores.append(network(batch.crops.float() / 255, batch.boxes, batch.visible, given).sigmoid().cpu().numpy())
    return np.concatenate(scores)

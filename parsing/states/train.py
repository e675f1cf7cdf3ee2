"""Training and evaluation of the part-state network."""

from __future__ import annotations

import logging
from copy import deepcopy
from dataclasses import field
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from parsing.configs import Count, Share, StageConfig, config
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored
from parsing.learning.fit import FitConfig
from parsing.networks.backbones import Pretrained
from parsing.networks.initial import pretrained_of, start_from
from parsing.stages import PartStateRecognizer
from parsing.states.data import StateBatch, StateTable, collate, sample_weights
from parsing.states.evaluation import StateScores, evaluate_states
from parsing.states.losses import StateLossConfig, many_states_loss, one_state_loss
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.part_state_net import PartStateNetConfig, PartStateStage
from parsing.states.sources import StateDataConfig

log = logging.getLogger(__name__)
MOST_DOUBT = 0.6  # share of a simulated prediction that is not the true action, at most


@config
class PartStateTraining:
    """A training of the part-state network.

    Args:
        initial: weights to start from, of any parts, states and actions (`parsing.networks.initial`); empty for none.
        doubt_rate: share of persons that are given an uncertain distribution of actions, as a recognizer would give
            it, instead of the truth.
        fit_thresholds: whether the decoder of a sigmoid head also moves each state's threshold of best F1 to 0.5; without,
            scores stay probabilities.
    """

    name: Literal["part_state_net"]
    architecture: PartStateArchitecture
    data: StateDataConfig
    fit: FitConfig
    loss: StateLossConfig = field(default_factory=StateLossConfig)
    doubt_rate: Share = 0.7
    fit_thresholds: bool = False
    pretrained: Pretrained = "imagenet"
    initial: str = ""
    eval_every: Count = 1

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        a = self.architecture
        if a.head == "softmax" and self.loss.kind == "asymmetric":
            raise InputError("loss.kind: asymmetric is for independent states; expected architecture.head sigmoid")
        vocabulary = self.data.vocabulary()
        train, val = self.data.table("train", vocabulary), self.data.table("val", vocabulary)
        pretrained = pretrained_of(self.pretrained, self.initial)
        network = PartStateNet(a, torch.from_numpy(vocabulary.allowed), len(vocabulary.actions), "none" if resumed else pretrained)
        start_from(network, "" if resumed else self.initial, self.name, vocabulary.to_json(), network.named_rows)
        network.decoder.fit_prior(train.holds, train.known, train.actions)

        def score(task: nn.Module) -> Scored:
            network = cast(StateTask, task).network.eval().to(device)
            stage = PartStateStage(network, vocabulary, device, batch_size=32)
            scores = StateScores.of(stage, val)
            metrics = evaluate_states(stage, val, scores)
            return Scored(fit_decoder(deepcopy(network), val, scores, self.fit_thresholds), metrics)  # training goes on without

        crops = self.data.views(train, vocabulary, a.input_px, a.context)
        return Prepared(
            StateTask(network, train.frequency, self.loss, self.doubt_rate),
            crops,
            collate,
            score,
            figures=("all.mean_ap", "all.top1"),
            architecture=a,
            labels=vocabulary.to_json(),
            facts={"pretrained": pretrained},
            weights=sample_weights(train, self.data.balance, self.data.source_weights),
            every=self.eval_every,
        )

    def component(self, weights: str) -> StageConfig:
        return PartStateNetConfig(self.name, weights)

    def evaluate(self, stage: PartStateRecognizer, *, device: str) -> dict[str, Any]:  # noqa: ARG002  # of the protocol
        """Figures on the validation data with its true part boxes."""
        val = self.data.table("val", stage.vocabulary)
        return evaluate_states(stage, val, StateScores.of(stage, val))


class StateTask(nn.Module):
    """The network under its loss.

    Args:
        frequency: (P, S) how often states hold in the training data.
    """

    def __init__(self, network: PartStateNet, frequency: Tensor, settings: StateLossConfig, doubt_rate: float) -> None:
        super().__init__()
        self.network, self.settings, self.doubt_rate = network, settings, doubt_rate
        self.register_buffer("frequency", frequency)
        self.frequency: Tensor

    def forward(self, batch: StateBatch) -> dict[str, Tensor]:
        actions, action_known = self._distributions(batch.actions, batch.predicted)
        logits = self.network(batch.crops.float() / 255, batch.boxes, batch.visible, actions, action_known)
        loss = one_state_loss if self.network.architecture.head == "softmax" else many_states_loss
        return {"states": loss(logits, batch.holds, batch.known, self.frequency, self.settings)}

    def _distributions(self, actions: Tensor, predicted: Tensor) -> tuple[Tensor | None, Tensor]:
        """(B, A) the true action, or at a rate what a recognizer predicted, or might predict: the truth mixed with anything else."""
        known, num_actions = actions >= 0, self.network.num_actions
        if num_actions == 0:
            return None, known
        noise = torch.rand(len(actions), num_actions, device=actions.device).pow(4)
        doubted = torch.rand(len(actions), 1, device=actions.device) < self.doubt_rate
        doubt = torch.rand(len(actions), 1, device=actions.device) * MOST_DOUBT * doubted
        truth = F.one_hot(actions.clamp_min(0), num_actions).float()
        mixed = (1 - doubt) * truth + doubt * noise / noise.sum(1, keepdim=True)
        total = predicted.sum(1, keepdim=True)
        return torch.where(doubted & (total > 0), predicted / total.clamp_min(1e-6), mixed), known


def fit_decoder(network: PartStateNet, table: StateTable, scores: StateScores, thresholds: bool) -> PartStateNet:
    """The same network, its decoder fitted on validation persons; each is given its action where that is known."""
    one_state = network.architecture.head == "softmax"
    device = network.weight.device
    network.cpu()
    best = scores.hidden.copy()
    if scores.given is not None:
        acting = table.actions >= 0
        best[acting] = scores.given
        actions = F.one_hot(torch.from_numpy(table.actions[acting]), network.num_actions).float()
        network.decoder.fit(torch.from_numpy(scores.given), actions, table.holds[acting], table.known[acting], one_state)
    log.info("decoder: prior weight %.1f", float(network.decoder.prior_weight))
    if thresholds and not one_state:
        network.decoder.fit_thresholds(best, table.holds, table.known)
    return network.to(device)

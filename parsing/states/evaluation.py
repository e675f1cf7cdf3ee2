"""Figures of part-state networks and temporal heads on tables of persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from parsing.batching import BatchSize
from parsing.states.data import PlainCrops, StateTable
from parsing.states.data import collate as collate_crops
from parsing.states.metrics import state_metrics, top1
from parsing.states.network import PartStateNet, state_scores
from parsing.states.temporal import TemporalHead
from parsing.states.voting import vote
from parsing.states.windows import Windows, collate
from parsing.types import Array
from parsing.vocabulary import Vocabulary

VOTE_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class StateScores:
    """What a network says of N persons.

    Args:
        hidden: (N, P, S) without their actions.
        given: (M, P, S) with those of the M whose action is known; None where there are none.
    """

    hidden: Array
    given: Array | None

    @classmethod
    def of(cls, network: PartStateNet, table: StateTable, device: str) -> StateScores:
        network.eval().to(device)
        acting = table.actions >= 0
        told = bool(acting.any()) and network.num_actions > 0
        hidden = score_states(network, table, device, actions=False)
        return cls(hidden, score_states(network, table.select(acting), device, actions=True) if told else None)


def evaluate_states(network: PartStateNet, vocabulary: Vocabulary, table: StateTable, scores: StateScores) -> dict[str, Any]:
    """Figures over all persons (`all`) and over each source of images, none told its action.

    `action_hidden` and `action_given` compare the same persons, those whose action is known, without and with it.
    `decoded_top1` and `voted_top1` add the prior and the vote, both with what was fitted on the other half of the videos.
    """
    groups = {"all": np.ones(len(table), bool)} | {str(source): table.sources == source for source in np.unique(table.sources)}
    metrics: dict[str, Any] = {
        name: state_metrics(scores.hidden[rows], table.holds[rows], table.known[rows], vocabulary) for name, rows in groups.items()
    }
    if scores.given is not None:
        acting = table.actions >= 0
        told = table.select(acting)
        for name, found in (("action_hidden", scores.hidden[acting]), ("action_given", scores.given)):
            metrics[name] = state_metrics(found, told.holds, told.known, vocabulary)
        metrics["decoded_top1"], metrics["voted_top1"] = decoded_and_voted(network, told, scores.given, vocabulary)
    return metrics


def score_states(network: PartStateNet, table: StateTable, device: str, actions: bool) -> Array:
    """(N, P, S) probabilities; with `actions`, conditioned on each person's action, which must then be known."""
    crops = PlainCrops(table, network.architecture.input_px, network.architecture.context)

    def rows(some: Sequence[int]) -> Array:
        batch = collate_crops([crops[i] for i in some]).to(device)
        given = F.one_hot(batch.actions, network.num_actions).float() if actions else None
        logits = network(batch.crops.float() / 255, batch.boxes, batch.visible, given)
        return np.asarray(network.scores(logits).cpu().numpy())

    with torch.inference_mode():
        return np.stack(BatchSize("part_states", 32).map(rows, range(len(crops))))


def decoded_and_voted(network: PartStateNet, table: StateTable, scores: Array, vocabulary: Vocabulary) -> tuple[float | None, float | None]:
    """Top-1 with the prior, and with the vote over each video too.

    Each half of the videos is decoded with what was fitted on the other half.
    """
    videos = np.unique(table.videos)
    half = np.isin(table.videos, videos[::2])
    decoder = network.decoder
    kept = decoder.prior_weight.clone(), decoder.thresholds.clone()
    actions = F.one_hot(torch.from_numpy(table.actions), network.num_actions).float()
    decoded, voted = scores.copy(), scores.copy()
    groups = vocabulary.kinds
    for fitted, judged in ((half, ~half), (~half, half)):
        if not fitted.any() or not judged.any():
            continue
        decoder.cpu().fit(torch.from_numpy(scores[fitted]), actions[fitted], table.holds[fitted], table.known[fitted], one_state=True)
        decoded[judged] = decoder(torch.from_numpy(scores[judged]), actions[judged]).numpy()
        own = decoder(torch.from_numpy(scores[fitted]), actions[fitted]).numpy()
        gains = [
            top1(vote_videos(own, table.select(fitted), groups, share), table.holds[fitted], table.known[fitted]) or 0.0
            for share in VOTE_SHARES
        ]
        voted[judged] = vote_videos(decoded[judged], table.select(judged), groups, VOTE_SHARES[int(np.argmax(gains))])
    decoder.to(network.weight.device)
    decoder.prior_weight.copy_(kept[0])
    decoder.thresholds.copy_(kept[1])
    return top1(decoded, table.holds, table.known), top1(voted, table.holds, table.known)


def vote_videos(scores: Array, table: StateTable, groups: list[list[int]], share: float) -> Array:
    """`vote` within each video."""
    mixed = scores.copy()
    for video in np.unique(table.videos):
        rows = table.videos == video
        mixed[rows] = vote(scores[rows], table.visible[rows], groups, share)
    return mixed


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

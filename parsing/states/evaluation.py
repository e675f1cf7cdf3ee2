"""Figures of the part-state stage and of state filters on tables of annotated persons, whose true part boxes they get."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parsing.media.images import read_image
from parsing.stages import PartStateRecognizer, StateFilter
from parsing.states.data import StateTable
from parsing.states.decoding import StateDecoder
from parsing.states.metrics import state_metrics, top1
from parsing.states.part_state_net import PartStateStage
from parsing.states.voting import vote
from parsing.states.windows import Windows
from parsing.types import Array, Frame
from parsing.vocabulary import Vocabulary

VOTE_SHARES = (0.25, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class StateScores:
    """What a part-state stage says of N persons.

    Args:
        hidden: (N, P, S) without their actions.
        given: (M, P, S) with those of the M whose action is known; None where there are none.
    """

    hidden: Array
    given: Array | None

    @classmethod
    def of(cls, stage: PartStateRecognizer, table: StateTable) -> StateScores:
        acting = table.actions >= 0
        has_actions = bool(acting.any()) and len(stage.vocabulary.actions) > 0
        return cls(score_states(stage, table, False), score_states(stage, table.select(acting), True) if has_actions else None)


def evaluate_states(stage: PartStateRecognizer, table: StateTable, scores: StateScores) -> dict[str, Any]:
    """Figures over all persons (`all`) and over each source of images, without their actions.

    `action_hidden` and `action_given` compare the same persons, those whose action is known, without and with it.
    `decoded_top1` and `voted_top1` add the prior and the vote, both with what was fitted on the other half of the videos.
    All other figures are of the stage with the decoder of its weights, which may have been fitted on the same persons.
    """
    groups = {"all": np.ones(len(table), bool)} | {str(source): table.sources == source for source in np.unique(table.sources)}
    metrics: dict[str, Any] = {
        name: state_metrics(scores.hidden[rows], table.holds[rows], table.known[rows], stage.vocabulary) for name, rows in groups.items()
    }
    if scores.given is not None:
        acting = table.actions >= 0
        acted = table.select(acting)
        for name, found in (("action_hidden", scores.hidden[acting]), ("action_given", scores.given)):
            metrics[name] = state_metrics(found, acted.holds, acted.known, stage.vocabulary)
        metrics["decoded_top1"], metrics["voted_top1"] = decoded_and_voted(stage, acted, scores.given)
    return metrics


def score_states(stage: PartStateRecognizer, table: StateTable, with_actions: bool) -> Array:
    """(N, P, S) scores, image by image.

    Args:
        with_actions: whether the stage gets the action of the persons, which must then be known.
    """
    scores = np.zeros((len(table), *stage.vocabulary.allowed.shape), np.float32)
    actions = np.eye(len(stage.vocabulary.actions), dtype=np.float32)
    for rows, frame in frames_of(table):
        persons, parts = table.stage_inputs(rows)
        action = actions[table.actions[rows[0]]] if with_actions else None
        scores[rows] = stage([frame], [persons], [parts], action)[0].scores
    return scores


def frames_of(table: StateTable) -> Iterator[tuple[Array, Frame]]:
    """Each image of a table with the rows of its persons."""
    rows_of: dict[Path, list[int]] = defaultdict(list)
    for row, path in enumerate(table.paths):
        rows_of[path].append(row)
    for path, rows in rows_of.items():
        yield np.array(rows), Frame(Path(table.videos[rows[0]]).name, int(table.frames[rows[0]]), 0.0, read_image(path))


def decoded_and_voted(stage: PartStateRecognizer, table: StateTable, given: Array) -> tuple[float | None, float | None]:
    """Top-1 with the prior, and with the vote over each video too; a stage without a prior gets none.

    Each half of the videos is decoded with what was fitted on the other half.

    Args:
        given: (N, P, S) scores of the stage, which was given the actions.
    """
    words = stage.vocabulary
    decoder = StateDecoder(len(words.parts), len(words.actions), len(words.states))
    if isinstance(stage, PartStateStage):
        decoder = deepcopy(stage.decoder).cpu()
        given = given if decoder.is_neutral else score_states(stage.undecoded(), table, True)
    scores, actions = torch.from_numpy(given), torch.eye(len(words.actions))[torch.from_numpy(table.actions)]
    half = np.isin(table.videos, np.unique(table.videos)[::2])
    decoded, voted = given.copy(), given.copy()
    for fitted, held_out in ((half, ~half), (~half, half)):
        if not fitted.any() or not held_out.any():
            continue
        decoder.fit(scores[fitted], actions[fitted], table.holds[fitted], table.known[fitted], one_state=True)
        own, decoded[held_out] = (decoder(scores[rows], actions[rows]).numpy() for rows in (fitted, held_out))
        gains = [
            top1(vote_videos(own, table.select(fitted), words, share), table.holds[fitted], table.known[fitted]) or 0.0
            for share in VOTE_SHARES
        ]
        voted[held_out] = vote_videos(decoded[held_out], table.select(held_out), words, VOTE_SHARES[int(np.argmax(gains))])
    return top1(decoded, table.holds, table.known), top1(voted, table.holds, table.known)


def vote_videos(scores: Array, table: StateTable, vocabulary: Vocabulary, share: float) -> Array:
    """`vote` within each video."""
    mixed = scores.copy()
    for video in np.unique(table.videos):
        rows = table.videos == video
        mixed[rows] = vote(scores[rows], table.visible[rows], vocabulary.kinds, share)
    return mixed


def evaluate_filter(state_filter: StateFilter, tracks: Windows, vocabulary: Vocabulary) -> dict[str, Any]:
    """Figures of the part states alone (`single`) and behind a state filter (`all`), on the same annotated tracks."""
    state_filter.check(vocabulary)
    table, found = tracks.table, np.zeros_like(tracks.scores)
    for video in np.unique(table.videos):
        rows = np.flatnonzero(table.videos == video)
        steps = [rows[table.frames[rows] == frame] for frame in np.unique(table.frames[rows])]
        for here, (_, parse) in zip(steps, state_filter(map(tracks.item, steps)), strict=True):
            found[here] = parse.states.scores if parse is not None else 0.0
    scores = {"all": found, "single": tracks.scores}
    return {name: state_metrics(value, table.holds, table.known, vocabulary) for name, value in scores.items()}

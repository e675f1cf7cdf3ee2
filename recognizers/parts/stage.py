"""The network over tracks of parts as a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from parsing.configs import Count, config, parse_config
from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, model_facts, read_header, restore, weights_path
from parsing.tracks import Tracklet
from parsing.types import ActionScores, Array, ModelFacts
from parsing.vocabulary import Vocabulary
from recognizers.labels import ActionLabels
from recognizers.parts.features import TrackFeatures, nothing, track_features
from recognizers.parts.network import PartTracksArchitecture, PartTracksNet

LABELS = ("multi_label", "mirrors", "background")  # what stands in a header beside the vocabulary


@config
class PartTracksConfig:
    """Options of the network at run time.

    Args:
        batch_size: pieces of windows that go through the network together.
    """

    name: Literal["part_tracks"]
    weights: str = "default/part_actions"
    batch_size: Count = 64

    def build(self, device: str) -> PartTracks:
        network, vocabulary, labels = load_part_tracks(self.weights, device)
        return PartTracks(network, vocabulary, labels, device, self.batch_size, model_facts("part_actions", self, self.weights))


def load_part_tracks(weights: str, device: str) -> tuple[PartTracksNet, Vocabulary, ActionLabels]:
    """The network that a weights file describes, the parts and states that it was trained with, and its actions.

    Raises:
        InputError: the file is not of this network, or its header is not whole.
    """
    header, path = read_header(weights, "part_tracks"), weights_path(weights)
    architecture = parse_config(PartTracksArchitecture, header.architecture, str(path))
    vocabulary = Vocabulary.of_weights(header.labels, path)
    labels = _labels_of(header, str(path))
    sizes = len(vocabulary.parts), len(vocabulary.states), len(labels.names)
    network = restore(lambda: PartTracksNet(architecture, *sizes), weights)
    return network.eval().to(device), vocabulary, labels


def header_labels(vocabulary: Vocabulary, labels: ActionLabels) -> dict[str, object]:
    """What the header of weights says of parts, states and actions."""
    return vocabulary.to_json() | labels.to_header()


def _labels_of(header: WeightsHeader, where: str) -> ActionLabels:
    named = {key: header.labels[key] for key in ("actions", *LABELS) if key in header.labels}
    labels = ActionLabels.from_header(replace(header, labels=named), where)
    if labels.multi_label:
        raise InputError(f"{where}: is multi-label; expected single-label actions from parts")
    return labels


class PartTracks:
    """Actions of windows by the network; windows longer than its grid are seen in pieces, whose logits are averaged."""

    def __init__(
        self,
        network: PartTracksNet,
        vocabulary: Vocabulary,
        labels: ActionLabels,
        device: str,
        batch_size: int = 64,
        facts: ModelFacts = ModelFacts("part_actions", "part_tracks", None, "{}"),  # frozen
    ) -> None:
        self.network, self.vocabulary, self.labels, self.device = network, vocabulary, labels, device
        self.action_names, self.background = labels.names, labels.background
        self.batch_size, self.facts = batch_size, facts

    def check(self, vocabulary: Vocabulary) -> None:
        """Raises InputError where parts or states differ; names the first that does."""
        check_same_parts(self.vocabulary, vocabulary, "part_actions: its weights", "the pipeline")

    def __call__(self, windows: Sequence[Sequence[Tracklet]]) -> list[ActionScores]:
        """Scores of each window."""
        background = [self.labels.names.index(name) for name in self.labels.background]
        rows = torch.from_numpy(self.logits(windows)).softmax(-1).numpy().clip(0, 1)
        return [ActionScores.of(row, False, (self.facts,), background) for row in rows]

    @torch.inference_mode()
    def logits(self, windows: Sequence[Sequence[Tracklet]]) -> Array:
        """(W, A) of each window."""
        shape = self.network.architecture, self.vocabulary
        pieces = [(number, piece) for number, window in enumerate(windows) for piece in window_pieces(window, *shape)]
        total, counts = np.zeros((len(windows), len(self.labels.names)), np.float32), np.zeros((len(windows), 1), np.float32)
        for first in range(0, len(pieces), self.batch_size):
            some = pieces[first : first + self.batch_size]
            parts, persons = (torch.from_numpy(column).to(self.device) for column in stacked([piece for _, piece in some]))
            numbers = [number for number, _ in some]
            np.add.at(total, numbers, self.network(parts, persons).float().cpu().numpy())
            np.add.at(counts, numbers, 1)
        return total / counts


def window_pieces(window: Sequence[Tracklet], architecture: PartTracksArchitecture, vocabulary: Vocabulary) -> list[list[TrackFeatures]]:
    """The persons of each grid that a window is seen in, those alone that are seen there; one piece without persons where none is."""
    a = architecture
    persons = window[: a.most_persons]
    if not persons:
        return [[nothing(a.grid, len(vocabulary.parts), len(vocabulary.states))]]
    begin_s, end_s = min(track.times_s[0] for track in persons), max(track.times_s[-1] for track in persons)
    pieces = [[track_features(track, a.grid, start_s) for track in persons] for start_s in a.grid.starts(begin_s, end_s)]
    seen = [[found for found in piece if found.person[:, 0].any()] for piece in pieces]
    return [piece for piece in seen if piece]


def stacked(pieces: Sequence[Sequence[TrackFeatures]]) -> tuple[Array, Array]:
    """Parts (B, K, T, P, F) and persons (B, K, T, G) of pieces with at most K persons; places without a person are zero."""
    shown = next(found for piece in pieces for found in piece)
    most = max(len(piece) for piece in pieces)
    parts = np.zeros((len(pieces), most, *shown.parts.shape), np.float32)
    persons = np.zeros((len(pieces), most, *shown.person.shape), np.float32)
    for row, piece in enumerate(pieces):
        for column, found in enumerate(piece):
            parts[row, column], persons[row, column] = found.parts, found.person
    return parts, persons


def check_same_parts(known: Vocabulary, other: Vocabulary, first: str, second: str) -> None:
    """Raises InputError where two vocabularies differ in parts or states; names the first that only one has."""
    for what in ("parts", "states"):
        own, theirs = getattr(known, what), getattr(other, what)
        if own != theirs:
            odd = [name for name in (*own, *theirs) if (name in own) != (name in theirs)]
            raise InputError(f"{first} and {second} differ in their {what}: {repr(odd[0]) if odd else 'their order'}")

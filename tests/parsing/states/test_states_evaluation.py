from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import VOCABULARY, frame

from parsing.pose import STATE_NAMES
from parsing.states.data import StateTable
from parsing.states.evaluation import evaluate_filter
from parsing.states.filters import Smooth
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.part_state_net import PartStateStage
from parsing.states.windows import Windows
from parsing.types import Detections, Parts
from parsing.vocabulary import PART_NAMES

ARM, BEND = PART_NAMES.index("left_arm"), STATE_NAMES.index("bend")


def one_person(count: int, videos: list[str]) -> StateTable:
    """A person that stands still in frames 0, 5, …, and whose left arm bends in the first frame of all."""
    parts, states = VOCABULARY.allowed.shape
    shape = (count, parts, states)
    known, holds, visible = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape[:2], bool)
    known[:, ARM, BEND], holds[0, ARM, BEND], visible[:, ARM] = True, True, True
    boxes = np.zeros((*shape[:2], 4), np.float32)
    boxes[:, ARM] = [0, 0, 10, 10]
    persons, names = np.tile(np.float32([0, 0, 20, 40]), (count, 1)), np.array(videos)
    frames, actions = np.arange(count) * 5, np.full(count, -1)
    return StateTable([Path("a.png")] * count, names, names, frames, persons, boxes, visible, holds, known, actions, np.zeros((count, 0)))


def test_filters_run_over_annotated_tracks_and_not_across_videos() -> None:
    """0.2 s apart in a window of 0.4 s a neighbour counts half: 0.9 and 0.3 become 0.7 and 0.5, which is no longer right."""
    table = one_person(3, ["v", "v", "w"])
    scores = np.zeros(table.holds.shape, np.float32)
    scores[:, ARM, BEND] = [0.9, 0.3, 0.1]
    found = evaluate_filter(Smooth(0.4), Windows(table, scores, 2, 0.6, 25.0, 10), VOCABULARY)
    assert found["single"]["accuracy"] == 1
    assert found["all"]["accuracy"] == pytest.approx(2 / 3)
    assert found["all"]["mean_ap"] == 1  # 0.7 is still the highest
    apart = evaluate_filter(Smooth(0.4), Windows(table, scores, 2, 0.6, 25.0, 4), VOCABULARY)
    assert apart["all"] == apart["single"]  # frames too far apart are of two tracks


def test_a_stage_without_its_decoder_gives_what_the_network_says() -> None:
    torch.manual_seed(0)
    architecture = PartStateArchitecture("test_efficientnet", 1, 2, input_px=32, dim=8, heads=2)
    network = PartStateNet(architecture, torch.from_numpy(VOCABULARY.allowed), 2).eval()
    stage = PartStateStage(network, replace(VOCABULARY, exclusive=()), "cpu", batch_size=4)
    persons, visible = Detections(np.float32([[0, 0, 60, 90]]), np.ones(1), np.zeros(1)), np.ones((1, len(PART_NAMES)), bool)
    inputs = [frame()], [persons], [Parts(np.tile(np.float32([5, 5, 30, 30]), (1, len(PART_NAMES), 1)), visible, visible)], None
    plain = stage(*inputs)[0].scores
    assert stage.decoder.is_neutral
    network.decoder.prior_weight.fill_(0.5)
    network.decoder.prior.fill_(1.0)
    assert not stage.decoder.is_neutral
    assert stage(*inputs)[0].scores == pytest.approx(plain / 2 + 0.5, abs=1e-6)
    assert np.array_equal(stage.undecoded()(*inputs)[0].scores, plain)
    strict = PartStateStage(network, VOCABULARY, "cpu", batch_size=4)
    bend, unbend = (VOCABULARY.states.index(state) for state in ("bend", "unbend"))
    assert stage(*inputs)[0].scores[0, ARM, [bend, unbend]].sum() > 1.01
    assert strict(*inputs)[0].scores[0, ARM, [bend, unbend]].sum() == pytest.approx(1)
    assert np.array_equal(strict.undecoded()(*inputs)[0].scores, plain)

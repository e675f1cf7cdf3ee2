import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import VOCABULARY

from parsing.errors import InputError
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.part_state_net import PartStateNetConfig, PartStateStage
from parsing.types import Detections, Frame, Parts
from parsing.weights import WeightsHeader, save_weights

TINY = PartStateArchitecture("test_efficientnet", part_level=1, person_level=2, input_px=64, dim=16, heads=2)
ALLOWED = torch.from_numpy(VOCABULARY.allowed)


@pytest.fixture(scope="module")
def network() -> PartStateNet:
    torch.manual_seed(0)
    return PartStateNet(TINY, ALLOWED, 2).eval()


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    corner = torch.rand(batch, 10, 2) * 30
    return torch.rand(batch, 3, 64, 64), torch.cat([corner, corner + 20], -1), torch.ones(batch, 10, dtype=torch.bool)


def test_only_allowed_states_have_logits(network: PartStateNet) -> None:
    logits = network(*inputs())
    assert logits.shape == (2, 10, 11)
    assert torch.equal(torch.isfinite(logits), ALLOWED.expand(2, -1, -1))


def test_a_person_without_visible_parts_gives_no_nan(network: PartStateNet) -> None:
    crops, boxes, visible = inputs()
    visible[0] = False
    assert not torch.isnan(network(crops, boxes, visible)).any()


def test_hidden_parts_are_not_looked_at(network: PartStateNet) -> None:
    crops, boxes, visible = inputs()
    visible[:, 3] = False
    moved = boxes.clone()
    moved[:, 3] = torch.tensor([0.0, 0, 64, 64])
    assert torch.equal(network(crops, boxes, visible), network(crops, moved, visible))


def test_parts_attend_to_each_other(network: PartStateNet) -> None:
    crops, boxes, visible = inputs()
    moved = boxes.clone()
    moved[:, 3] += 10
    changed = (network(crops, boxes, visible) - network(crops, moved, visible)).nan_to_num().abs()
    assert changed[:, 0].max() > 0


def test_the_action_counts_and_may_be_unknown(network: PartStateNet) -> None:
    crops, boxes, visible = inputs()
    first = network(crops, boxes, visible, torch.tensor([[1.0, 0], [1, 0]]))
    second = network(crops, boxes, visible, torch.tensor([[0.0, 1], [0, 1]]))
    unknown = network(crops, boxes, visible)
    assert not torch.equal(first, second)
    mixed = network(crops, boxes, visible, torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([True, False]))
    assert torch.allclose(mixed[0], first[0])
    assert torch.allclose(mixed[1], unknown[1])


def test_gradients_reach_every_parameter() -> None:
    net = PartStateNet(replace(TINY, person_level=4), ALLOWED, 2)  # the last level: earlier ones leave blocks unused
    crops, boxes, visible = inputs(6)
    visible[:, 2] = torch.tensor([True, False] * 3)
    actions = torch.full((6, 2), 0.5)
    net(crops, boxes, visible, actions, torch.tensor([True, False] * 3))[:, ALLOWED].sum().backward()
    missing = [name for name, parameter in net.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert missing == []


def scene(persons: int) -> tuple[Frame, Detections, Parts]:
    random = np.random.default_rng(persons)
    image = random.integers(0, 255, (120, 160, 3), np.uint8)
    boxes = np.array([[10 + 20 * i, 10, 60 + 20 * i, 110] for i in range(persons)], np.float32).reshape(-1, 4)
    parts = np.repeat(boxes[:, None], 10, 1)
    visible = np.ones((persons, 10), bool)
    visible[:, 4] = False
    found = Detections(boxes, np.full(persons, 0.9), np.zeros(persons))
    return Frame("a", 0, 0.0, image), found, Parts(parts * visible[..., None], visible * 0.9, visible)


def test_stage_does_not_depend_on_batches(network: PartStateNet) -> None:
    scenes = [scene(3), scene(0), scene(2)]
    frames, persons, parts = zip(*scenes, strict=True)
    results = [PartStateStage(network, VOCABULARY, "cpu", size)(frames, persons, parts, np.array([0.2, 0.8])) for size in (1, 16)]
    for one, other in zip(*results, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert [len(states) for states in results[0]] == [3, 0, 2]
    assert not results[0][0].scores[:, 4].any()  # not visible: nothing is claimed
    assert not results[0][0].scores[:, ~VOCABULARY.allowed].any()


def test_weights_carry_architecture_and_vocabulary(network: PartStateNet, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(network, path, WeightsHeader("part_state_net", asdict(TINY), VOCABULARY.to_json()))
    stage = PartStateNetConfig("part_state_net", str(path)).build("cpu")
    assert stage.vocabulary == VOCABULARY
    assert json.loads(stage.facts.config)["batch_size"] == 16
    save_weights(network, path, WeightsHeader("part_state_net", asdict(TINY), {"name": "x"}))
    with pytest.raises(InputError, match="vocabulary cannot be read"):
        PartStateNetConfig("part_state_net", str(path)).build("cpu")
    other = VOCABULARY.to_json() | {"actions": ["a", "b", "c"]}
    save_weights(network, path, WeightsHeader("part_state_net", asdict(TINY), other))
    with pytest.raises(InputError, match="action_embedding"):
        PartStateNetConfig("part_state_net", str(path)).build("cpu")

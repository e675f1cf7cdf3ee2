import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import VOCABULARY

from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.part_state_net import PartStateNetConfig, PartStateStage, StateEnsembleConfig
from parsing.types import Detections, Frame, Parts
from parsing.vocabulary import PART_NAMES, flip_permutation

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
    assert logits.shape == (2, *ALLOWED.shape)
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


def loaded(**changed: object) -> PartStateNet:
    torch.manual_seed(0)
    return PartStateNet(replace(TINY, **changed), ALLOWED, 2).eval()  # type: ignore[arg-type]


def test_without_attention_parts_do_not_see_each_other() -> None:
    crops, boxes, visible = inputs()
    moved = boxes.clone()
    moved[:, 3] += 10
    net = loaded(depth=0)
    changed = (net(crops, boxes, visible) - net(crops, moved, visible)).nan_to_num().abs()
    assert changed[:, 3].max() > 0
    assert not changed[:, [0, 1, 2, 4]].any()


def test_without_roi_pooling_parts_are_crops_of_their_own() -> None:
    crops, boxes, visible = inputs()
    net = loaded(depth=0, roi_pooling=False, part_crop_px=32)
    first = net(crops, boxes, visible)
    # Only what lies inside of its box reaches a part, apart from the person's own feature, which sees it all.
    single = net._cropped(crops, boxes)
    painted = crops.clone()
    painted[:, :, 60:, 60:] = 0
    boxes_away = boxes.clone()
    boxes_away[:] = torch.tensor([2.0, 2, 40, 40])
    assert torch.allclose(net._cropped(crops, boxes_away), net._cropped(painted, boxes_away))
    assert single.shape == (2, 10, net.backbone.channels[1])
    assert first.shape == (2, *ALLOWED.shape)


def test_the_top_class_hides_the_rest_of_the_distribution() -> None:
    arguments = inputs()
    sure, unsure = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    top, whole, none = loaded(action="top"), loaded(action="distribution"), loaded(action="none")
    assert torch.equal(top(*arguments, sure), top(*arguments, unsure))
    assert not torch.equal(whole(*arguments, sure), whole(*arguments, unsure))
    assert torch.equal(none(*arguments, sure), none(*arguments))


def test_a_softmax_head_gives_one_state_a_part() -> None:
    net = loaded(head="softmax")
    scores = net.scores(net(*inputs()))
    assert torch.allclose(scores.sum(-1), torch.ones(2, 10))
    assert not scores[:, ~ALLOWED].any()


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


def test_views_are_averaged_with_sides_swapped_back(network: PartStateNet) -> None:
    frame, persons, parts = scene(2)
    mirrored = Frame("a", 0, 0.0, np.ascontiguousarray(frame.image[:, ::-1]))
    width = frame.image.shape[1]
    flip = [width, 0, width, 0] - persons.xyxy[:, [2, 1, 0, 3]] * [1, -1, 1, -1]
    swap = flip_permutation(PART_NAMES)
    boxes = ([width, 0, width, 0] - parts.xyxy[..., [2, 1, 0, 3]] * [1, -1, 1, -1])[:, swap]
    visible = parts.visible[:, swap]
    other = Detections(flip, persons.scores, persons.class_ids)
    stage = PartStateStage(network, VOCABULARY, "cpu", 8, (1.0,), flip=True)
    one = stage([frame], [persons], [parts], None)[0].scores
    two = stage([mirrored], [other], [Parts(boxes * visible[..., None], parts.scores[:, swap], visible)], None)[0].scores
    assert one == pytest.approx(two[:, swap], abs=0.03)  # pixels are resampled on another grid
    plain = PartStateStage(network, VOCABULARY, "cpu", 8)([frame], [persons], [parts], None)[0].scores
    scaled = PartStateStage(network, VOCABULARY, "cpu", 8, (1.0, 1.3))([frame], [persons], [parts], None)[0].scores
    only = PartStateStage(network, VOCABULARY, "cpu", 8, (1.3,))([frame], [persons], [parts], None)[0].scores
    assert scaled == pytest.approx((plain + only) / 2, abs=1e-5)


def test_an_ensemble_averages_its_members(network: PartStateNet, tmp_path: Path) -> None:
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, net in zip(paths, (network, loaded(depth=0)), strict=True):
        save_weights(net, path, WeightsHeader("part_state_net", asdict(net.architecture), VOCABULARY.to_json()))
    members = tuple({"name": "part_state_net", "weights": str(path)} for path in paths)
    frame, persons, parts = scene(2)
    ensemble = StateEnsembleConfig("ensemble", members, (3.0, 1.0)).build("cpu")
    first, second = (member([frame], [persons], [parts], None)[0].scores for member in ensemble.members)
    assert ensemble([frame], [persons], [parts], None)[0].scores == pytest.approx(0.75 * first + 0.25 * second, abs=1e-6)
    with pytest.raises(InputError, match=r"part_states\.weights: \[1\.0\], expected 2 numbers"):
        StateEnsembleConfig("ensemble", members, (1.0,)).build("cpu")


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

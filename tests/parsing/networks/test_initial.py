"""Trainings that start from weights: what fits is taken, rows by their names, and what is new is named."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detectors.networks import NETWORKS, build_network, parse_architecture
from parsing import InputError
from parsing.networks.initial import Rows, start_from
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.temporal import TemporalArchitecture, TemporalHead

ROWS = {
    "weight": (Rows("classes", before=1),),
    "boxes": (Rows("classes", 1, before=2, each=2),),
    "anchors": (Rows("classes"),),
    "fitted": None,
}


class Small(nn.Module):
    """Tensors whose numbers are their places, added to `start`."""

    def __init__(self, classes: int, start: float, width: int = 2) -> None:
        super().__init__()
        shapes = {
            "body": (3, 3),
            "weight": (classes + 1, width),
            "boxes": (1, 2 * (classes + 1)),
            "anchors": (2 * classes,),
            "fitted": (1,),
        }
        for name, shape in shapes.items():
            count = int(torch.tensor(shape).prod())
            setattr(self, name, nn.Parameter(start + torch.arange(float(count)).reshape(shape)))


def saved(network: nn.Module, path: Path, labels: dict[str, Any], architecture: Any = None, component: str = "small") -> str:
    save_weights(network, path, WeightsHeader(component, architecture or {}, labels), torch.float32)
    return str(path)


def test_rows_go_by_their_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    initial = saved(Small(3, 0), tmp_path / "w.safetensors", {"classes": ["a", "b", "c"]})
    network = Small(2, 100)
    with caplog.at_level(logging.INFO):
        start_from(network, initial, "small", {"classes": ["c", "new"]}, ROWS)
    assert network.body.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert network.weight.tolist() == [[0, 1], [6, 7], [104, 105]]  # background, c, and what was there
    assert network.boxes.tolist() == [[0, 1, 6, 7, 104, 105]]
    assert network.anchors.tolist() == [2, 101, 5, 103]  # two anchors of classes a, b, c
    assert network.fitted.tolist() == [100]
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "4 of 4 tensors taken; new: nothing",
        "new for names that it does not know: anchors, boxes, weight",
    ]


def test_what_does_not_fit_is_new_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    initial = saved(Small(2, 0), tmp_path / "w.safetensors", {"classes": ["a", "b"]})
    network = Small(2, 100, width=4)
    with caplog.at_level(logging.INFO):
        start_from(network, initial, "small", {"classes": ["x", "y"]}, ROWS)  # as many, but none of them known
    assert network.body.tolist()[0] == [0, 1, 2]
    assert network.anchors.tolist() == [100, 101, 102, 103]
    assert [record.message.partition(": ")[2] for record in caplog.records] == ["1 of 4 tensors taken; new: anchors, boxes, weight"]


def test_weights_of_which_nothing_can_be_taken_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    initial = saved(nn.Linear(7, 7), path, {"classes": ["a"]})
    with pytest.raises(InputError, match=r"w\.safetensors: initial: no layer of it fits the small that is trained"):
        start_from(Small(1, 0), initial, "small", {"classes": ["a"]}, ROWS)
    with pytest.raises(InputError, match=r"w\.safetensors: weights of 'small', expected 'large'"):
        start_from(Small(1, 0), initial, "large", {"classes": ["a"]}, ROWS)
    with pytest.raises(InputError, match=r"none\.safetensors: weights not found"):
        start_from(Small(1, 0), str(tmp_path / "none.safetensors"), "small", {"classes": ["a"]}, ROWS)
    saved(Small(1, float("nan")), path, {"classes": ["a"]})
    with pytest.raises(InputError, match="not finite"):
        start_from(Small(1, 0), initial, "small", {"classes": ["a"]}, ROWS)
    saved(Small(1, 0), path, {"classes": "a"})
    with pytest.raises(InputError, match=r"header: labels: classes: 'a', expected a list of names"):
        start_from(Small(1, 0), initial, "small", {"classes": ["a"]}, ROWS)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_detector_says_where_its_classes_lie(name: str, tmp_path: Path) -> None:
    """A detector of fewer classes in another order scores those that it shares as the one that it started from."""
    settings: dict[str, Any] = {"backbone": "test_efficientnet", "levels": [1, 2], "fpn_channels": 32}
    if name.endswith("rcnn"):
        settings |= {"hidden": 16, "anchor_sizes": [[8], [16], [32]]}
    found, built = [], []
    for classes in (["a", "b", "c", "d"], ["d", "b"]):
        architecture = parse_architecture(name, settings | {"class_names": classes}, name)
        torch.manual_seed(len(classes))
        network = build_network(name, architecture)
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
        if built:
            initial = saved(built[0], tmp_path / "w.safetensors", {"classes": ["a", "b", "c", "d"]}, None, name)
            start_from(network, initial, name, {"classes": classes}, network.named_rows)  # type: ignore[arg-type]
        built.append(network.eval())
        found.append({key: tensor for key, tensor in network.state_dict().items() if tensor.is_floating_point()})
    changed = [key for key in found[0] if found[0][key].shape != found[1][key].shape]
    assert changed
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0] if key not in changed)
    for key in changed:
        before, after = rows_of(found[0][key], 4), rows_of(found[1][key], 2)
        assert torch.equal(after[-2:], before[[-1, -3]])
        assert torch.equal(after[:-2], before[:-4])


def rows_of(tensor: Tensor, num_classes: int) -> Tensor:
    """Rows by class, background first where there is one: of a Faster R-CNN's boxes four, of a RetinaNet nine of each."""
    outer = 9 if len(tensor) == 9 * num_classes else 1
    total = next(count for count in (num_classes + 1, num_classes) if len(tensor) // outer % count == 0)
    return tensor.reshape(outer, total, -1).transpose(0, 1)


def test_part_states_and_their_filter_know_parts_states_and_actions(tmp_path: Path) -> None:
    old = {"parts": ["head", "hand"], "states": ["open", "fist", "up"], "actions": ["run"]}
    new = {"parts": ["hand", "racket"], "states": ["fist", "swung"], "actions": ["jump", "run"]}
    a = PartStateArchitecture("test_efficientnet", part_level=1, person_level=2, dim=8, heads=1)
    first, second = (
        PartStateNet(a, torch.ones(len(v["parts"]), len(v["states"]), dtype=torch.bool), len(v["actions"])) for v in (old, new)
    )
    first.decoder.thresholds.fill_(0.3)
    before = {key: value.clone() for key, value in second.state_dict().items()}
    initial = saved(first, tmp_path / "states.safetensors", old, asdict(a), "part_state_net")
    start_from(second, initial, "part_state_net", new, second.named_rows)
    assert torch.equal(second.weight[0, :, 0], first.weight[1, :, 1])  # of a hand, whether it is a fist
    assert torch.equal(second.weight[1], before["weight"][1])
    assert torch.equal(second.bias[0], torch.stack([first.bias[1, 1], before["bias"][0, 1]]))
    assert torch.equal(second.part_embedding[0], first.part_embedding[1])
    assert second.action_embedding is not None
    assert first.action_embedding is not None
    assert torch.equal(second.action_embedding.weight[:, 1], first.action_embedding.weight[:, 0])
    assert torch.equal(second.backbone.state_dict()["net.conv_stem.weight"], first.backbone.state_dict()["net.conv_stem.weight"])
    assert torch.equal(second.decoder.thresholds, before["decoder.thresholds"])

    heads = [TemporalHead(TemporalArchitecture("sigmoid"), torch.ones(2, n, dtype=torch.bool)) for n in (3, 2)]
    initial = saved(heads[0], tmp_path / "filter.safetensors", old, None, "temporal_head")
    start_from(heads[1], initial, "temporal_head", new, heads[1].named_rows)
    assert torch.equal(heads[1].input.weight[:, 0], heads[0].input.weight[:, 1])
    assert torch.equal(heads[1].input.weight[:, 2:], heads[0].input.weight[:, 3:])

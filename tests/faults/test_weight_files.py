"""Weights of strangers: every header and tensor that does not fit ends in one line with the file and the field."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from detectors.networks import load_network as load_detector
from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.networks.checkpoints import fill, read_checkpoint
from parsing.networks.weights import WeightsHeader, load_weights, read_header, restore, save_weights
from parsing.states.part_state_net import load_part_state_net
from parsing.states.temporal import load_temporal_head
from recognizers.networks import NETWORKS, parse_architecture
from recognizers.superres.networks import load_network as load_super_resolution
from recognizers.video import load_recognizer

HEADER = WeightsHeader("net", {}, {})


def changed(path: Path, **made: Callable[[Tensor], Tensor]) -> None:
    """A file of a linear layer, some of whose tensors are made anew from what they were, or are added."""
    found = nn.Linear(3, 2).half().state_dict()
    found |= {name: make(found.get(name, torch.zeros(1))).contiguous() for name, make in made.items()}
    path.write_bytes(save(found, {"partwise": '{"component": "net", "architecture": {}, "labels": {}}'}))


def spoilt(value: float) -> Callable[[Tensor], Tensor]:
    def spoil(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[-1] = value
        return tensor

    return spoil


TENSORS: list[tuple[dict[str, Callable[[Tensor], Tensor]], str]] = [
    ({"weight": spoilt(float("nan"))}, "'weight' holds a number that is not finite"),
    ({"bias": spoilt(float("inf"))}, "'bias' holds a number that is not finite"),
    ({"bias": spoilt(float("-inf"))}, "'bias' holds a number that is not finite"),
    (
        {"bias": lambda _: torch.tensor([1e300, 0], dtype=torch.float64)},
        "'bias' holds a number that is not finite",
    ),  # in float32 it is infinity
    ({"weight": Tensor.int}, "'weight' holds int32, expected float32"),
    ({"weight": Tensor.bool}, "'weight' holds bool, expected float32"),
    ({"weight": lambda tensor: tensor.to(torch.int8)}, "'weight' holds int8, expected float32"),
    ({"weight": Tensor.t}, r"'weight' has shape \(3, 2\), expected \(2, 3\)"),
    ({"other": Tensor.float}, r"1 unexpected \(first 'other'\)"),
]


@pytest.mark.parametrize(("made", "message"), TENSORS)
def test_tensors_that_are_refused(tmp_path: Path, made: dict[str, Callable[[Tensor], Tensor]], message: str) -> None:
    changed(tmp_path / "w.safetensors", **made)
    with pytest.raises(InputError, match=rf"w\.safetensors: (?:weights of another network: )?{message}$"):
        load_weights(nn.Linear(3, 2), str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    "bias",
    [
        torch.tensor([3e38, 3e38]),  # their sum is not finite, they are
        torch.tensor([1, 2], dtype=torch.bfloat16),
        torch.tensor([1, 2], dtype=torch.float64),
    ],
)
def test_tensors_that_are_read(tmp_path: Path, bias: Tensor) -> None:
    changed(tmp_path / "w.safetensors", bias=lambda _: bias)
    layer = nn.Linear(3, 2)
    load_weights(layer, str(tmp_path / "w.safetensors"))
    assert layer.bias.tolist() == bias.float().tolist()
    assert layer.bias.dtype == torch.float32


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    norm = nn.BatchNorm1d(2)
    save_weights(norm, tmp_path / "w.safetensors", HEADER)
    load_weights(norm, str(tmp_path / "w.safetensors"))
    tensors = norm.state_dict() | {"num_batches_tracked": torch.tensor(1.0)}
    (tmp_path / "w.safetensors").write_bytes(save(tensors))
    with pytest.raises(InputError, match="'num_batches_tracked' holds float32, expected int64"):
        load_weights(norm, str(tmp_path / "w.safetensors"))


def test_checkpoints_of_others_are_held_to_the_same(tmp_path: Path) -> None:
    for weight, message in ((torch.full((2, 3), torch.nan), "is not finite"), (torch.ones(2, 3, dtype=torch.int64), "holds int64")):
        with pytest.raises(InputError, match=rf"c\.pth: 'weight' .*{message}"):
            fill(nn.Linear(3, 2), {"weight": weight, "bias": torch.zeros(2)}, "net", tmp_path / "c.pth")


def raw(header: bytes, length: int | None = None) -> bytes:
    """A safetensors file whose header claims what it likes."""
    return struct.pack("<Q", len(header) if length is None else length) + header


@pytest.mark.parametrize(
    "content",
    [
        raw(b"{}", 2**60),
        raw(b"{}", 2**31),
        raw(b'{"a":' * 100_000),
        raw(b'{"__metadata__":' + b"[" * 100_000),
        raw(json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()),
        raw(json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode()) + b"1234",
        raw(json.dumps({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}).encode()) + b"1234",
        raw(json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}).encode()) + b"1234",
        raw(json.dumps({"a": {"dtype": "object", "shape": [1], "data_offsets": [0, 4]}}).encode()) + b"1234",
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.safetensors: not a readable safetensors file") as error:
        read_header(str(tmp_path / "w.safetensors"), "net")
    assert len(str(error.value)) < 600
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, r"header: not JSON, or cut off \(recursion limit"),
        ('{"component": "net"', "header: not JSON"),
        ("[1]", "header"),
        ("null", "header"),
        ('{"component": "net"}', "header: architecture: Field required"),
        ('{"component": "net", "architecture": {}, "labels": [1]}', r"header: labels: Input should be a valid dictionary \(found \[1\]\)"),
        ('{"component": "net", "architecture": 5, "labels": {}}', "header: architecture: Input should be a valid dictionary"),
        ('{"component": 5, "architecture": {}, "labels": {}}', "header: component"),
        ('{"component": "net", "architecture": {}, "labels": {}, "evil": 1}', "header: unknown key 'evil'"),
        ('{"component": "other", "architecture": {}, "labels": {}}', "weights of 'other', expected 'net'"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(save({"a": torch.zeros(1)}, {"partwise": text}))
    with pytest.raises(InputError, match=rf"w\.safetensors: {message}"):
        read_header(str(tmp_path / "w.safetensors"), "net")


VOCABULARY = {"name": "v", "parts": ["head"], "states": ["still"], "part_states": {"head": ["still"]}, "actions": ["walk"]}
CLASSES = {"class_names": ["person"], "backbone": "resnet18"}
STATES = {"backbone": "resnet18"}
LOADERS: dict[str, tuple[Callable[[str], Any], dict[str, Any], dict[str, Any]]] = {
    "cascade_rcnn": (lambda weights: load_detector("cascade_rcnn", weights, None, "cpu"), CLASSES, {}),
    "retinanet": (lambda weights: load_detector("retinanet", weights, None, "cpu"), CLASSES, {}),
    "gfl": (lambda weights: load_detector("gfl", weights, None, "cpu"), CLASSES, {}),
    "part_state_net": (lambda weights: load_part_state_net(weights, "cpu"), STATES, VOCABULARY),
    "temporal_head": (lambda weights: load_temporal_head(weights, "cpu"), {"head": "sigmoid"}, VOCABULARY),
    "tsm": (lambda weights: load_recognizer("tsm", weights, "cpu"), {"backbone": "resnet18"}, {"actions": ["walk"]}),
    "slowfast": (lambda weights: load_recognizer("slowfast", weights, "cpu"), {}, {"actions": ["walk"]}),
    "basicvsr": (lambda weights: load_super_resolution("basicvsr", weights, "cpu"), {}, {}),
}


@pytest.mark.parametrize(
    ("component", "architecture", "labels", "message"),
    [
        ("cascade_rcnn", {"fpn_channels": 10**9}, {}, "fpn_channels: Input should be less than or equal to 1024"),
        ("cascade_rcnn", {"fpn_channels": -1}, {}, "fpn_channels: Input should be greater"),
        ("cascade_rcnn", {"fpn_channels": 2**70}, {}, "fpn_channels"),
        ("cascade_rcnn", {"levels": [99]}, {}, r"levels\.0: Input should be less"),
        ("cascade_rcnn", {"levels": [1, 2, 3, 9]}, {}, r"anchor_sizes|levels \(1, 2, 3, 9\)"),
        ("cascade_rcnn", {"levels": [4, 3, 2, 1]}, {}, r"levels \(4, 3, 2, 1\), expected rising"),
        ("cascade_rcnn", {"levels": []}, {}, "levels"),
        ("cascade_rcnn", {"input_px": 200_000}, {}, "input_px: Input should be less than or equal to 4096"),
        ("cascade_rcnn", {"hidden": 10**9}, {}, "hidden"),
        ("cascade_rcnn", {"context": float("nan")}, {}, "context: Input should be a finite number"),
        ("cascade_rcnn", {"heatmaps": 10**6}, {}, "heatmaps"),
        ("cascade_rcnn", {"anchor_sizes": [[32.0]]}, {}, "anchor_sizes has rows of"),
        ("cascade_rcnn", {"anchor_ratios": [-1.0]}, {}, r"anchor_ratios\.0"),
        ("cascade_rcnn", {"class_names": []}, {}, "class_names"),
        ("cascade_rcnn", {"class_names": [1]}, {}, r"class_names\.0: Input should be a valid string"),
        ("cascade_rcnn", {"class_names": ["a", "a"]}, {}, "class_names holds a name twice"),
        ("cascade_rcnn", {"backbone": "os.system"}, {}, "backbone 'os.system': timm has no such model"),
        ("retinanet", {"levels": [7, 8]}, {}, r"backbone 'resnet18': no features of levels \(7, 8\)"),
        ("retinanet", {"convs": 10**6}, {}, "convs"),
        ("gfl", {"bins": 10**9}, {}, "bins"),
        ("part_state_net", {"dim": 10**9}, {}, "dim"),
        ("part_state_net", {"dim": 100, "heads": 7}, {}, "dim 100 is no multiple of heads 7"),
        ("part_state_net", {"part_level": 4}, {}, "part_level 4, expected one below"),
        ("part_state_net", {"depth": 10**6}, {}, "depth"),
        ("part_state_net", {}, {"parts": [1]}, "expected a list of names"),
        ("part_state_net", {}, {"parts": "head"}, "expected a list of names"),
        ("part_state_net", {}, {"part_states": [["still"]]}, "expected an object of lists"),
        ("part_state_net", {}, {"states": None}, "expected a list of names"),
        ("part_state_net", {}, {"actions": ["walk", "walk"]}, "holds a name twice"),
        ("temporal_head", {"depth": 10**6}, {}, "depth"),
        ("temporal_head", {"window_s": float("inf")}, {}, "window_s"),
        ("tsm", {"num_segments": 10**9}, {}, "num_segments"),
        ("tsm", {"level": 8}, {}, "no features of levels"),
        ("tsm", {"shift_after": 7}, {}, "feature level 7; the backbone has those from 0 to 4"),
        ("tsm", {"dropout": 2.0}, {}, "dropout"),
        ("tsm", {}, {"actions": [1]}, r"labels: actions\.0: Input should be a valid string"),
        ("tsm", {}, {"actions": "walk"}, "labels: actions: expected a list"),
        ("tsm", {}, {"actions": []}, "labels: actions"),
        ("tsm", {}, {"actions": ["a", "a"]}, "labels: actions holds a name twice"),
        ("tsm", {}, {"mirrors": [["a"]]}, "labels: mirrors"),
        ("tsm", {}, {"mirrors": 5}, "labels: mirrors"),
        ("slowfast", {"width": 2**20}, {}, "width"),
        ("slowfast", {"alpha": 0}, {}, "alpha"),
        ("slowfast", {"frames": 10**9}, {}, "frames"),
        ("basicvsr", {"channels": 10**6}, {}, "channels"),
        ("basicvsr", {"blocks": 10**6}, {}, "blocks"),
        ("basicvsr", {"flow_levels": 1_000}, {}, "flow_levels"),
        ("basicvsr", {"scale": 1_000}, {}, "scale"),
    ],
)
def test_what_a_header_asks_for_is_bounded(
    tmp_path: Path, component: str, architecture: dict[str, Any], labels: dict[str, Any], message: str
) -> None:
    load, good, good_labels = LOADERS[component]
    header = {"component": component, "architecture": good | architecture, "labels": good_labels | labels}
    path = tmp_path / "w.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, {"partwise": json.dumps(header)}))
    with pytest.raises(InputError, match=rf"w\.safetensors: .*(?:{message})") as error:
        load(str(path))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("component", LOADERS)
def test_headers_that_are_whole_reach_the_tensors(tmp_path: Path, component: str) -> None:
    """So that the refusals above are of what was changed there."""
    load, architecture, labels = LOADERS[component]
    path = tmp_path / "w.safetensors"
    header = {"component": component, "architecture": architecture, "labels": labels}
    path.write_bytes(save({"a": torch.zeros(1)}, {"partwise": json.dumps(header)}))
    with pytest.raises(InputError, match=r"w\.safetensors: weights of another network: \d+ missing .* 1 unexpected \(first 'a'\)"):
        load(str(path))


def test_a_network_that_cannot_be_built_is_the_file_s_fault(tmp_path: Path) -> None:
    changed(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: no network can be built as its header says \(embed_dim"):
        restore(lambda: nn.MultiheadAttention(10, 3), str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_header_cannot_ask_for_numbers_without_end(name: Any) -> None:
    for field in ("input_px", "frames", "num_segments", "segments"):
        for value in (0, -1, 10**6, 2**70, float("nan")):
            with pytest.raises(InputError, match="w: "):
                parse_architecture(name, {"backbone": "resnet18", field: value} if name in ("tsm", "tanet") else {field: value}, "w")


def test_metrics_of_a_header_may_hold_nan() -> None:
    assert parse_config(WeightsHeader, {"component": "a", "architecture": {}, "labels": {}, "metrics": {"AP": float("nan")}}, "w").metrics


def test_checkpoints_that_grow_when_they_are_read(tmp_path: Path) -> None:
    """40 MB of zeros in 40 kB, and ten numbers that claim to be 10^12."""
    torch.save({"a": torch.zeros(10**7)}, tmp_path / "stored.pth")
    assert read_checkpoint(tmp_path / "stored.pth")[0]["a"].numel() == 10**7
    with zipfile.ZipFile(tmp_path / "stored.pth") as stored, zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    with pytest.raises(InputError, match=r"packed\.pth: packed, [\d,]+ bytes that claim to be 40,0"):
        read_checkpoint(tmp_path / "packed.pth")
    for tensor in (torch.zeros(10).as_strided((10**6, 10**6), (0, 0)), torch.zeros(3, device="meta"), torch.zeros(3, 3).to_sparse()):
        torch.save({"a": tensor}, tmp_path / "odd.pth")
        with pytest.raises(InputError, match=r"odd\.pth: "):
            read_checkpoint(tmp_path / "odd.pth")

import json
import os
import pickle
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import nn

from parsing.errors import InputError
from parsing.networks.shipped import SHIPPED, shipped_path
from parsing.networks.weights import WeightsHeader, load_weights, read_header, restore, save_weights, sha256_of

HEADER = WeightsHeader("net", {"width": 3}, {"classes": ["person"]}, {"AP": 0.5})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_weights(nn.Linear(3, 2), tmp_path / "w.safetensors", HEADER)
    return tmp_path / "w.safetensors"


def test_round_trip_in_half_precision(tmp_path: Path) -> None:
    module, copy = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    nn.init.constant_(module.weight, 0.25)
    save_weights(module, tmp_path / "w.safetensors", HEADER)
    assert read_header(str(tmp_path / "w.safetensors"), "net") == HEADER
    load_weights(copy, str(tmp_path / "w.safetensors"))
    assert torch.equal(copy.weight, module.weight)
    assert copy.weight.dtype == torch.float32
    assert len(sha256_of(str(tmp_path / "w.safetensors"))) == 64


def test_a_network_is_filled_from_its_file_alone(tmp_path: Path) -> None:
    whole = nn.Sequential(nn.Linear(3, 2), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), nn.Embedding(4, 2))
    nn.init.normal_(whole[0].weight)
    save_weights(whole, tmp_path / "w.safetensors", HEADER, torch.float32)
    drawn = torch.get_rng_state()
    made = restore(
        lambda: nn.Sequential(nn.Linear(3, 2), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2), nn.Embedding(4, 2)), str(tmp_path / "w.safetensors")
    )
    assert torch.equal(torch.get_rng_state(), drawn), "numbers were drawn only to be written over"
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in made.state_dict().items())
    nn.init.uniform_(made[0].weight)
    assert not torch.equal(torch.get_rng_state(), drawn), "nobody draws any more"


def test_weights_of_another_component_are_refused(saved: Path) -> None:
    with pytest.raises(InputError, match=r"w\.safetensors: weights of 'net', expected 'other'"):
        read_header(str(saved), "other")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(3, 4), r"has shape \(2\,?.*expected \(4"),
        (nn.Linear(3, 2, bias=False), r"1 unexpected \(first 'bias'\)"),
        (nn.Bilinear(1, 1, 1), ""),
    ],
)
def test_weights_of_another_network_are_refused(saved: Path, module: nn.Module, message: str) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(InputError, match=f"weights of another network.*{message}"):
        load_weights(module, str(saved))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors: weights not found"):
        read_header(str(tmp_path / "none.safetensors"), "net")


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.safetensors: not a readable safetensors"):
        read_header(str(tmp_path / "w.safetensors"), "net")


def test_half_a_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-4])
    with pytest.raises(InputError, match="not a readable safetensors"):
        read_header(str(saved), "net")


class _Evil:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)


def test_a_pickle_executes_nothing(tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "w.safetensors"
    path.write_bytes(pickle.dumps(_Evil(proof)))
    with pytest.raises(InputError, match="not a readable safetensors"):
        read_header(str(path), "net")
    torch.save(_Evil(proof), path)
    with pytest.raises(InputError, match=r"not a readable safetensors file .*, which `pipelines\.convert` turns into one"):
        read_header(str(path), "net")
    assert not proof.exists()


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="without this project's header"):
        read_header(str(tmp_path / "w.safetensors"), "net")


@pytest.mark.parametrize("name", SHIPPED)
def test_headers_of_shipped_weights_name_no_place_of_a_machine(name: str) -> None:
    header = json.dumps(asdict(read_header(str(shipped_path(name)))))
    assert '"/' not in header

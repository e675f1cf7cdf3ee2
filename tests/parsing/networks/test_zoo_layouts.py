"""Entries of the zoo whose outputs no fixture compares: what the library's own model saves fits (scripts/make_zoo_fixtures.py)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from parsing.label_lists import label_list
from parsing.networks.converters import conversions
from parsing.networks.zoo import entries, find

DATA = Path(__file__).parents[2] / "data"
LAYOUTS = json.loads(gzip.decompress((DATA / "zoo_layouts.json.gz").read_bytes()))


def test_every_such_entry_has_a_layout() -> None:
    assert LAYOUTS.keys() == {entry.name for entry in entries().values() if entry.checked == "layout"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_the_library_saves_fits(name: str) -> None:
    entry = find(name)
    stage = next(stage for stage in conversions() if entry.target in stage.targets().get(entry.origin, ()))
    tensors = {key: torch.tensor(0.5).expand(shape) for key, shape in LAYOUTS[name].items()}  # without memory
    network, component, labels = stage.to_network(tensors, {}, entry.origin, entry.target, [entry.labels], Path("file.pth"))
    assert component == entry.network
    assert list(labels.values()) == [list(label_list(entry.labels))]
    megabytes = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()) / 1e6
    assert entry.megabytes == f"{megabytes:.0f}"

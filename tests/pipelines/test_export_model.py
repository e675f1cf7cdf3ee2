import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parsing.errors import InputError
from parsing.networks.graphs import open_graph
from pipelines.export_model import build_parser, main

STAGES = {"person_detector": "person", "part_detector": "part", "part_states": "states", "recognizer": "tsm"}
FILES = {
    "person_detector": ["dense", "heads_0", "heads_1", "heads_2"],
    "part_detector": ["dense", "heads_0", "heads_1", "heads_2"],
    "part_states": ["look", "tell"],
    "recognizer": ["forward"],
}


def export(stage: str, kind: str, weights: Path, out: Path, *more: str) -> Any:
    arguments = build_parser().parse_args([stage, "--format", kind, "--weights", str(weights), "--out", str(out), "--quiet", *more])
    assert main(arguments) == 0
    return json.loads((out / "model.json").read_text())


@pytest.mark.parametrize("stage", STAGES)
def test_onnx_files_run(stage: str, tiny_pipeline: Path, tmp_path: Path) -> None:
    found = export(stage, "onnx", tiny_pipeline.with_name(f"{STAGES[stage]}.safetensors"), tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted([*(f"{f}.onnx" for f in FILES[stage]), "model.json"])
    assert found["stage"] == stage
    assert found["before"]
    assert found["after"]
    for one in found["files"]:
        graph = open_graph(tmp_path / "out" / one["file"])
        assert [list(port.shape) for port in graph.inputs] == [[max(0, side) for side in shape] for shape in one["inputs"]]
        outputs = graph(*(np.zeros([side if side > 0 else 32 for side in shape], np.float32) for shape in one["inputs"]))
        assert [len(output.shape) for output in outputs] == [len(shape) for shape in one["outputs"]]
        assert one["difference"] < 1e-3


@pytest.mark.parametrize("kind", ["openvino", "torch_export"])
def test_other_formats(kind: str, tiny_pipeline: Path, tmp_path: Path) -> None:
    found = export("recognizer", kind, tiny_pipeline.with_name("tsm.safetensors"), tmp_path)
    assert found["files"][0]["difference"] < 1e-3
    suffixes = {"openvino": {".xml", ".bin", ".json"}, "torch_export": {".pt2", ".json"}}
    assert {file.suffix for file in tmp_path.iterdir()} == suffixes[kind]
    if kind == "torch_export":
        module = torch.export.load(tmp_path / "forward.pt2").module()
        assert module(torch.zeros(3, 2, 3, 32, 32))[0].shape == (3, 2)


def test_what_does_not_fit_is_named_and_nothing_is_left(tiny_pipeline: Path, tmp_path: Path) -> None:
    person, out = tiny_pipeline.with_name("person.safetensors"), tmp_path / "out"
    with pytest.raises(InputError, match=r"person\.safetensors: weights of 'cascade_rcnn', which is no recognizer; expected tsm"):
        export("recognizer", "onnx", person, out)
    assert not out.exists()
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"model\.json: exists"):
        export("person_detector", "onnx", person, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]
    export("part_states", "onnx", tiny_pipeline.with_name("states.safetensors"), tmp_path, "--overwrite")

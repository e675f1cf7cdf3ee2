import json
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded_tensor

from detectors.networks import load_network
from detectors.networks.conversion import class_names_of, convert, num_classes_of
from parsing import InputError
from parsing.networks.checkpoints import read_checkpoint
from pipelines.convert import build_parser, main

DATA = Path(__file__).parents[2] / "data"


def tensors(target: str) -> dict[str, torch.Tensor]:
    shapes = json.loads(str(np.load(DATA / f"mmdet_{target}.npz")["shapes"]))
    return {name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(shape)))) for name, shape in shapes.items()}


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("import pathlib; pathlib.Path('executed').touch()",))


def test_command_converts_and_the_result_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, out = tmp_path / "retinanet.pth", tmp_path / "r50.safetensors"
    torch.save(
        {"state_dict": tensors("retinanet_r50"), "meta": {"dataset_meta": {"classes": ("x", "person", *map(str, range(78)))}}}, checkpoint
    )
    arguments = build_parser().parse_args(["mmdet", str(checkpoint), "--to", "retinanet_r50", "--out", str(out), "--dtype", "float16"])
    assert main(arguments) == 0
    assert "retinanet, 80 classes" in capsys.readouterr().out
    network = load_network("retinanet", str(out), None, "cpu")
    assert network.architecture.class_names[1] == "person"
    assert network.architecture.shorter_px == 800


def test_pickled_objects_are_refused_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "meta": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"evil\.pth: expected a checkpoint with a state_dict of tensors"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()
    out = tmp_path / "out.safetensors"
    with pytest.raises(InputError):
        main(build_parser().parse_args(["mmdet", "evil.pth", "--to", "gfl_r50", "--out", str(out)]))
    assert not out.exists()


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"a\.pth: "):
        read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(InputError, match="checkpoint not found"):
        read_checkpoint(tmp_path / "b.pth")
    torch.save([1, 2], tmp_path / "c.pth")
    with pytest.raises(InputError, match="expected a checkpoint with a state_dict"):
        read_checkpoint(tmp_path / "c.pth")


def test_missing_and_extra_tensors_are_named() -> None:
    found = tensors("retinanet_r50")
    with pytest.raises(InputError, match=r"not a checkpoint of cascade_rcnn_r50: .* missing \(first '.*'\), .* unexpected \(first"):
        convert(found, "cascade_rcnn_r50", [f"c{i}" for i in range(80)], Path("r.pth"))
    del found["neck.lateral_convs.0.conv.bias"]
    with pytest.raises(InputError, match=r"1 missing \(first 'pyramid\.fpn\.inner_blocks\.0\.0\.bias'\)"):
        convert(found, "retinanet_r50", [str(i) for i in range(80)], Path("r.pth"))


def test_names_of_classes() -> None:
    assert class_names_of({}, 80, ())[0] == "person"
    assert class_names_of({"CLASSES": ("a", "b")}, 2, ()) == ("a", "b")
    assert class_names_of({"dataset_meta": {"classes": "person"}}, 1, ()) == ("person",)
    assert class_names_of({}, 2, ("x", "y")) == ("x", "y")
    with pytest.raises(InputError, match="0 names for 3 classes"):
        class_names_of({}, 3, ())
    with pytest.raises(InputError, match="no classification layer"):
        num_classes_of({}, Path("a.pth"))

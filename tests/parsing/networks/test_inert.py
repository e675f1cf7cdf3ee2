"""Checkpoints as strangers leave them: the tensors come out, and nothing that a file names is ever called."""

from __future__ import annotations

import io
import json
import logging
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks.checkpoints import fill, read_checkpoint

DATA = Path(__file__).parents[2] / "data"
WEIGHT = torch.arange(6.0).reshape(2, 3)
ARGUMENT = b"X\x0e\x00\x00\x00touch executed"


@pytest.mark.parametrize("name", ["openmmlab.pth", "openmmlab_old.pth"])
def test_files_of_real_openmmlab(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tensors, meta = read_checkpoint(DATA / name)
    assert tensors["0.weight"].tolist() == [[1.0] * 3] * 2
    assert tensors["1.num_batches_tracked"].dtype == torch.int64
    assert meta["epoch"] == 3
    assert meta["dataset_meta"]["classes"] == ("stand", "walk")
    assert "passed over objects of" in caplog.text
    assert "mmengine.logging.history_buffer.HistoryBuffer" in caplog.text


def with_program(path: Path, before: bytes) -> None:
    """A checkpoint of one tensor whose pickle first runs `before`, drops what it leaves, and goes on."""
    buffer = io.BytesIO()
    torch.save({"weight": WEIGHT}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.infolist():
            data = source.read(member)
            if member.filename.endswith("data.pkl"):
                assert data[:2] == b"\x80\x02"
                data = data[:2] + before + b"0" + data[2:]
            target.writestr(member.filename, data)


CALLS = {
    "reduce": b"cposix\nsystem\n(" + ARGUMENT + b"tR",
    "old name": b"c__builtin__\neval\n(X\x29\x00\x00\x00__import__('os').system('touch executed')tR",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(X\x02\x00\x00\x00ostRX\x06\x00\x00\x00systemtR(" + ARGUMENT + b"tR",
    "stack global": b"\x8c\x05posix\x8c\x06system\x93(" + ARGUMENT + b"tR",
    "inst": b"(" + ARGUMENT + b"iposix\nsystem\n",
    "obj": b"(cposix\nsystem\n" + ARGUMENT + b"o",
    "newobj": b"csubprocess\nPopen\n(" + ARGUMENT + b"t\x81",
    "newobj_ex": b"csubprocess\nPopen\n(" + ARGUMENT + b"t}\x92",
    "build": b"cposix\nsystem\n(" + ARGUMENT + b"tR}X\x0b\x00\x00\x00__reduce__scposix\nsystem\nsb",
    "build of a function": b"ctorch._utils\n_rebuild_tensor_v2\n(N}X\x0c\x00\x00\x00__defaults__(K\x01tstb",
    "partial": b"cfunctools\npartial\n(cposix\nsystem\n" + ARGUMENT + b"tR(tR",
    "torch.load": b"ctorch.serialization\nload\n(X\x08\x00\x00\x00evil.pthtR",
    "torch.hub": b"ctorch.hub\nload\n(X\x08\x00\x00\x00evil/hubtR",
    "pickle in pickle": b"cpickle\nloads\n(C\x02I.tR",
    "extension": b"\x82\x01",
    "put into what was called": b"cposix\nsystem\n(" + ARGUMENT + b"tR(K\x01K\x02u(K\x01eK\x01a(K\x01\x90",
}


@pytest.mark.parametrize("name", CALLS)
def test_programs_that_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = torch._utils._rebuild_tensor_v2.__defaults__
    with_program(tmp_path / "evil.pth", CALLS[name])
    assert read_checkpoint(tmp_path / "evil.pth")[0]["weight"].equal(WEIGHT)
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]
    assert torch._utils._rebuild_tensor_v2.__defaults__ == defaults


def test_the_same_program_executes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the cases above are real ones."""
    monkeypatch.chdir(tmp_path)
    for name in ("reduce", "old name", "getattr", "stack global", "inst", "obj"):
        pickle.loads(b"\x80\x02" + CALLS[name] + b".")
        assert (tmp_path / "executed").exists(), name
        (tmp_path / "executed").unlink()


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("import pathlib; pathlib.Path('executed').touch()",))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_payload_among_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": Payload(), "state_dict": {"w": WEIGHT.t()}}, "a.pth", _use_new_zipfile_serialization=zipped)
    assert read_checkpoint(Path("a.pth"))[0]["w"].equal(WEIGHT.t())
    for value in (Payload(), {"state_dict": Payload()}, {"state_dict": {"w": Payload()}}, {"model": nn.Linear(1, 1)}):
        torch.save(value, "b.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match=r"^b\.pth: .*expected a (checkpoint with a )?state_dict of tensors$"):
            read_checkpoint(Path("b.pth"))
    assert not Path("executed").exists()


def tensor_program(storage: bytes = b"K\x06", view: bytes = b"K\x00K\x02K\x03\x86K\x03K\x01\x86") -> bytes:
    """A tensor over the file's storage `0`; `storage` is how many values it claims, `view` offset, size and stride."""
    held = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + storage + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + held + view + b"\x89}tR"


LONG = b"\x8a\x08" + struct.pack("<q", 2**50)
REFUSED = {
    "storage without end": tensor_program(LONG),
    "storage of fewer": tensor_program(b"K\x05"),
    "view that goes on": tensor_program(view=b"K\x00K\x02K\x04\x86K\x03K\x01\x86"),
    "view from beyond": tensor_program(view=b"K\x06K\x02K\x03\x86K\x03K\x01\x86"),
    "negative stride": tensor_program(view=b"K\x05K\x02K\x03\x86K\x03\x8a\x01\xff\x86"),
    "size of an object": tensor_program(view=b"K\x00cposix\nsystem\nK\x03K\x01\x86"),
    "persistent id": b"Pstorage\n",
    "claims bytes": b"\x8e" + struct.pack("<Q", 2**60),
    "claims an array": b"\x96" + struct.pack("<Q", 2**50),
    "unknown instruction": b"\xff",
    "empty stack": b"R",
}


@pytest.mark.parametrize("name", REFUSED)
def test_programs_that_are_refused(tmp_path: Path, name: str) -> None:
    with_program(tmp_path / "a.pth", CALLS["reduce"] + b"0" + REFUSED[name])
    with pytest.raises(InputError, match=r"a\.pth: not a PyTorch checkpoint, or a damaged one \(.+\)$") as error:
        read_checkpoint(tmp_path / "a.pth")
    assert "\n" not in str(error.value)


def test_tensor_programs_are_whole(tmp_path: Path) -> None:
    with_program(tmp_path / "a.pth", CALLS["reduce"] + b"0" + tensor_program())
    assert read_checkpoint(tmp_path / "a.pth")[0]["weight"].equal(WEIGHT)


def test_tensors_that_outgrow_their_file(tmp_path: Path) -> None:
    with_program(tmp_path / "a.pth", b"N")
    data = (tmp_path / "a.pth").read_bytes()
    assert data.count(b"K\x02K\x03\x86") == 1  # the size (2, 3)
    with zipfile.ZipFile(tmp_path / "a.pth") as source, zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member).replace(b"K\x02K\x03\x86", b"M\xff\xffM\x03\x00\x86"))
    with pytest.raises(InputError, match=r"b\.pth: not a PyTorch checkpoint, or a damaged one \(setStorage: sizes"):
        read_checkpoint(tmp_path / "b.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("extra", [{}, {"epoch": Payload()}])
def test_damaged_files(tmp_path: Path, zipped: bool, extra: dict[str, Any]) -> None:
    torch.save({"state_dict": {"w": torch.ones(500)}} | extra, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "a.pth").read_bytes()
    for end in (0, 1, 10, 100, len(data) // 2, len(data) - 9):
        (tmp_path / "cut.pth").write_bytes(data[:end])
        with pytest.raises(InputError, match=r"^[^\n]*cut\.pth: not a PyTorch checkpoint, or a damaged one \([^\n]+\)$"):
            read_checkpoint(tmp_path / "cut.pth")


WRAPPED: list[dict[str, Any]] = [
    {"state_dict": {"module.w": WEIGHT}},
    {"state_dict": {"model.module.w": WEIGHT}, "pytorch-lightning_version": "2.5"},
    {"state_dict": {"w": torch.zeros(1)}, "state_dict_ema": {"w": WEIGHT}},
    {"model": {"w": torch.zeros(1)}, "model_ema": {"n_averaged": torch.tensor(9), "module.w": WEIGHT}},
    {"model": {"w": WEIGHT}, "optimizer": {"state": {}}},
    {"model_state": {"w": WEIGHT}, "cfg": "text"},
    {"params": {"w": torch.zeros(1)}, "params_ema": {"w": WEIGHT}},
    {"_orig_mod.w": WEIGHT},
    {"w": WEIGHT},
    {"w": nn.Parameter(WEIGHT), "n_averaged": torch.tensor(9)},
]


@pytest.mark.parametrize("value", WRAPPED)
@pytest.mark.parametrize("zipped", [True, False])
def test_where_the_tensors_lie(tmp_path: Path, value: dict[str, Any], zipped: bool) -> None:
    torch.save(value, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    tensors, _ = read_checkpoint(tmp_path / "a.pth")
    assert tensors.keys() == {"w"}
    assert tensors["w"].equal(WEIGHT)


def test_names_that_only_some_tensors_have_stay(tmp_path: Path) -> None:
    torch.save({"model.w": WEIGHT, "head.w": WEIGHT}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth")[0].keys() == {"model.w", "head.w"}


def test_norms_without_counts(tmp_path: Path) -> None:
    norm = nn.BatchNorm1d(2)
    fill(norm, {name: torch.full((2,), 3.0) for name in ("weight", "bias", "running_mean", "running_var")}, "norm", tmp_path / "a.pth")
    assert norm.running_var is not None
    assert norm.running_var.tolist() == [3.0, 3.0]
    with pytest.raises(InputError, match=r"1 missing \(first 'running_var'\)"):
        fill(norm, {name: torch.zeros(2) for name in ("weight", "bias", "running_mean")}, "norm", tmp_path / "a.pth")


def shards(folder: Path, **files: dict[str, Tensor]) -> None:
    """A model folder of two classes, as transformers saves a large one."""
    names = {f"{name}.safetensors": tensors for name, tensors in files.items()}
    for name, tensors in names.items():
        save_file(tensors, folder / name)
    (folder / "config.json").write_text(json.dumps({"id2label": {"1": "walk", "0": "stand"}}))
    index = {"metadata": {}, "weight_map": {tensor: name for name, tensors in names.items() for tensor in tensors}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_folders_of_hugging_face(tmp_path: Path) -> None:
    shards(tmp_path, first={"a": WEIGHT}, second={"b": WEIGHT + 1})
    tensors, meta = read_checkpoint(tmp_path)
    assert tensors["b"].equal(WEIGHT + 1)
    assert (sorted(tensors), meta["CLASSES"]) == (["a", "b"], ["stand", "walk"])
    (tmp_path / "second.safetensors").unlink()
    with pytest.raises(InputError, match=r"second\.safetensors: weights not found"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../first.safetensors"}}')
    with pytest.raises(InputError, match=r"index\.json: weight_map: expected the names of safetensors files in this folder"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    save_file({"model.a": WEIGHT}, tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path)[0].keys() == read_checkpoint(tmp_path / "model.safetensors")[0].keys() == {"a"}
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"a model folder without config\.json$"):
        read_checkpoint(tmp_path)

"""Model folders of Hugging Face from a server on the loopback: what they may look like, what is refused, what is left."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loopback import Hub, serve_model
from safetensors.torch import load_file, save_file

from parsing.errors import InputError
from parsing.networks import zoo
from parsing.networks.weights import read_header, sha256_of, weights_path

PUBLISHED = zoo.find("videomae_base_finetuned_kinetics")
PLACE = "/someone/model/resolve/main"
TENSORS = {"model.a": torch.arange(6.0).reshape(2, 3), "model.b": torch.ones(2)}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARTWISE_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "videomae"}')
    (folder / "preprocessor_config.json").write_text("{}")
    save_file(TENSORS, folder / "model.safetensors")
    return folder


@pytest.fixture
def hub(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:  # noqa: ARG001
    with serve_model(model) as server:
        found = replace(PUBLISHED, name="mine", url=f"{server.url}{PLACE}/config.json")
        monkeypatch.setattr(zoo, "entries", lambda: {"mine": found})
        yield server


def kept(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_folder_by_name(hub: Hub, cache: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO)
    assert weights_path("zoo/mine") == cache / "zoo" / "mine"
    assert hub.asked == []
    folder = zoo.fetch("zoo/mine")
    assert folder == cache / "zoo" / "mine"
    names = ("config.json", "model.safetensors", "preprocessor_config.json")
    assert kept(cache) == ["zoo/mine.sha256", *(f"zoo/mine/{name}" for name in names)]
    assert zoo.record_of(zoo.find("mine")).read_text() == zoo.digests(zoo.find("mine"))
    assert f"{sha256_of(str(folder / 'model.safetensors'))}  mine/model.safetensors\n" in zoo.digests(zoo.find("mine"))
    assert "zoo/mine: licence CC-BY-NC-4.0, not for commercial use" in caplog.text
    asked = len(hub.asked)
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    assert zoo.fetch("mine") == folder
    assert len(hub.asked) == asked


def test_shards(hub: Hub, cache: Path) -> None:
    whole = hub.files.pop(f"{PLACE}/model.safetensors")
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    index = {"weight_map": dict(zip(TENSORS, names, strict=True))}
    hub.files |= {f"{PLACE}/{name}": whole for name in names[:1]} | {f"{PLACE}/model.safetensors.index.json": json.dumps(index).encode()}
    with pytest.raises(InputError, match=rf"^zoo/mine: {names[1]}: the server answers 404 Not Found; or put the files of http"):
        zoo.fetch("mine")
    assert not (cache / "zoo" / "mine").exists()
    hub.files[f"{PLACE}/{names[1]}"], hub.asked = whole, []
    assert {path.name for path in zoo.fetch("mine").glob("*.safetensors")} == set(names)
    assert f"{PLACE}/{names[0]}" not in hub.asked  # what was there already is not fetched again
    assert f"{PLACE}/config.json" not in hub.asked


def test_pytorch_files_are_rewritten_under_their_own_names(hub: Hub, tmp_path: Path) -> None:
    del hub.files[f"{PLACE}/model.safetensors"]
    shared = torch.arange(4.0)
    torch.save({**TENSORS, "model.c": shared, "model.d": shared[1:], "model.t": TENSORS["model.a"].T}, tmp_path / "file.bin")
    hub.files[f"{PLACE}/pytorch_model.bin"] = (tmp_path / "file.bin").read_bytes()
    folder = zoo.fetch("mine")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    found = load_file(folder / "model.safetensors")
    assert sorted(found) == ["model.a", "model.b", "model.c", "model.d", "model.t"]
    assert found["model.d"].tolist() == [1, 2, 3]
    assert found["model.t"].equal(TENSORS["model.a"].T)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_pytorch_files_execute_nothing(hub: Hub, cache: Path, tmp_path: Path) -> None:
    del hub.files[f"{PLACE}/model.safetensors"]
    torch.save({"a": Evil(tmp_path / "executed")}, tmp_path / "file.bin")
    hub.files[f"{PLACE}/pytorch_model.bin"] = (tmp_path / "file.bin").read_bytes()
    with pytest.raises(InputError, match=r"pytorch_model\.bin: expected a checkpoint with a state_dict of tensors"):
        zoo.fetch("mine")
    assert not (tmp_path / "executed").exists()
    assert not (cache / "zoo" / "mine").exists()


REFUSED = {
    "config.json": (404, r"config\.json: the server answers 404 Not Found"),
    "preprocessor_config.json": (404, r"none of preprocessor_config\.json, .* is there; a model without its processor cannot be run"),
    "model.safetensors": (404, r"pytorch_model\.bin: the server answers 404 Not Found"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_missing(name: str, hub: Hub, cache: Path) -> None:
    code, message = REFUSED[name]
    hub.codes[f"{PLACE}/{name}"] = code
    with pytest.raises(InputError, match=f"^zoo/mine: {message}; or put the files of {hub.url}/someone/model/tree/main into") as caught:
        zoo.fetch("mine")
    assert "\n" not in str(caught.value)
    assert not (cache / "zoo" / "mine").exists()


@pytest.mark.parametrize("code", [401, 403])
def test_models_that_want_a_sign_in(code: int, hub: Hub, cache: Path, model: Path) -> None:
    hub.codes |= dict.fromkeys(hub.files, code)
    placed = cache / "downloads" / "mine"
    with pytest.raises(InputError, match=f"^zoo/mine: config.json: the server answers {code} .*; its page says who may have it; or put"):
        zoo.fetch("mine")
    assert kept(cache) == []
    placed.mkdir(parents=True, exist_ok=True)
    for path in model.iterdir():
        (placed / path.name).write_bytes(path.read_bytes())
    hub.asked = []
    assert (zoo.fetch("mine") / "config.json").is_file()
    assert hub.asked == []


def test_a_server_that_gives_other_weights_than_it_says(hub: Hub, cache: Path) -> None:
    hub.tags[f"{PLACE}/model.safetensors"] = "0" * 64
    with pytest.raises(InputError, match=r"model\.safetensors\.part: its sha256 begins with .*, expected 0000"):
        zoo.fetch("mine")
    assert not list(cache.rglob("*.safetensors*"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"[]", "config.json: expected the JSON object that describes a model"),
        ("config.json", b"{", "config.json: not JSON, or cut off"),
        ("model.safetensors", b"", "model.safetensors: not a readable safetensors file"),
        ("model.safetensors", b"\xff" * 100, "model.safetensors: not a readable safetensors file"),
    ],
)
def test_files_that_are_none(name: str, content: bytes, message: str, hub: Hub, cache: Path) -> None:
    hub.files[f"{PLACE}/{name}"] = content
    with pytest.raises(InputError, match=f"^zoo/mine: .*{message}.*; or put the files"):
        zoo.fetch("mine")
    assert not (cache / "zoo" / "mine").exists()


def test_an_index_that_leads_elsewhere(hub: Hub, cache: Path) -> None:
    del hub.files[f"{PLACE}/model.safetensors"]
    hub.files[f"{PLACE}/model.safetensors.index.json"] = b'{"weight_map": {"a": "../../../x.safetensors"}}'
    with pytest.raises(InputError, match="weight_map: expected the names of safetensors files in this folder"):
        zoo.fetch("mine")
    assert not list(cache.parent.glob("x*"))


@pytest.mark.usefixtures("hub")
def test_networks_of_this_project_refuse_a_folder() -> None:
    with pytest.raises(InputError, match=r"mine: a model folder, which `name: transformers` runs; expected a safetensors file"):
        read_header("zoo/mine", "tsm")

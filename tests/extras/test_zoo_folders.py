"""Entries of the zoo that are model folders, from a loopback server to a running stage. Skipped where transformers is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import frame
from loopback import Hub, serve_model

pytest.importorskip("transformers")
import transformers as hf
from tiny_models import NAMES, detr, rf_detr, rt_detr, saved, timesformer, videomae, vitpose, vivit, vjepa2

from detectors import PERSON_DETECTORS, POSE_ESTIMATORS
from parsing import Detections, InputError
from parsing.configs import resolve
from parsing.networks import zoo
from parsing.networks.download import digest
from recognizers import RECOGNIZERS

pytestmark = pytest.mark.filterwarnings("ignore")  # the library warns of parts of its own
PUBLISHED = zoo.find("videomae_base_finetuned_kinetics")
Serve = Callable[[Path], AbstractContextManager[Hub]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Makes a folder the entry `zoo/mine`."""
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PARTWISE_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    torch.manual_seed(0)

    @contextmanager
    def served(folder: Path) -> Iterator[Hub]:
        with serve_model(folder) as hub:
            found = replace(PUBLISHED, name="mine", url=f"{hub.url}/someone/model/resolve/main/config.json")
            monkeypatch.setattr(zoo, "entries", lambda: {"mine": found})
            yield hub

    return served


def stage(table: Any) -> Any:
    return resolve(table, {"name": "transformers", "weights": "zoo/mine"}, "stage").build("cpu")


def timm_detr(folder: Path) -> Path:
    """With a backbone of timm, as DETR's published folders have it, whose own weights are not asked for."""
    sizes = {"d_model": 16, "num_queries": 10, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    backbone = {"backbone": "resnet18", "use_timm_backbone": True, "use_pretrained_backbone": False, "backbone_config": None}
    model = hf.DetrForObjectDetection(hf.DetrConfig(**sizes, **heads, **backbone, id2label=NAMES))
    return saved(folder, model, hf.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}))


@pytest.mark.parametrize("make", [videomae, timesformer, vivit, vjepa2])
def test_recognizers(make: Callable[[Path], Path], serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "model")
    with serve(folder):
        recognizer = stage(RECOGNIZERS)
    monkeypatch.setenv("PARTWISE_OFFLINE", "1")
    again = stage(RECOGNIZERS)
    frames = {i: frame(index=i) for i in range(4)}
    first, second = recognizer(frames, 4), again(frames, 4)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.models[0].weights_sha256 == digest(folder / "model.safetensors")


@pytest.mark.parametrize("make", [rt_detr, rf_detr, detr, timm_detr])
def test_persons(make: Callable[[Path], Path], serve: Serve, tmp_path: Path) -> None:
    with serve(make(tmp_path / "model")):
        detector = stage(PERSON_DETECTORS)
    assert isinstance(detector([frame()])[0], Detections)


def test_poses(serve: Serve, tmp_path: Path) -> None:
    with serve(vitpose(tmp_path / "model")):
        pose = stage(POSE_ESTIMATORS)
    boxes = Detections(np.array([[1, 1, 30, 40]], np.float32), np.ones(1), np.zeros(1))
    assert pose([frame()], [boxes])[0].keypoints.shape == (1, 17, 3)


def test_shards_and_pytorch_files_give_what_the_whole_file_gives(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, frames, found = videomae(tmp_path / "whole"), {i: frame(index=i) for i in range(4)}, []
    model = hf.VideoMAEForVideoClassification.from_pretrained(whole)
    for name in ("shards", "pickled"):
        folder = tmp_path / name
        folder.mkdir()
        for path in whole.glob("*.json"):
            (folder / path.name).write_bytes(path.read_bytes())
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    for name in ("whole", "shards", "pickled"):
        monkeypatch.setenv("PARTWISE_HOME", str(tmp_path / f"home {name}"))
        with serve(tmp_path / name):
            found.append(stage(RECOGNIZERS)(frames, 4).probabilities)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_weights_of_this_project_are_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry = replace(zoo.find("r3d_18"), name="mine")
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path))
    monkeypatch.setattr(zoo, "entries", lambda: {"mine": entry})
    entry.weights.parent.mkdir(parents=True)
    entry.weights.write_bytes(b"")
    with pytest.raises(InputError, match=r"^zoo/mine: weights of r3d; expected a model folder of transformers$"):
        stage(RECOGNIZERS)

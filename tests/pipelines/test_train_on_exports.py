"""Every trainer that learns from annotations learns from what `export cvat` and `export label_studio` write, beside the videos."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import TINY_DETECTOR, VOCABULARY
from moving import ACTIONS, FACTS, moving_parse, write_moving_video

from parsing.configs import chosen_class
from parsing.datasets.clips import read_clip_records
from parsing.errors import InputError
from parsing.learning.experiment import Trainer, experiment
from parsing.networks.weights import WeightsHeader, read_header, save_weights
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.temporal_train import StateFilterTraining
from pipelines.exporters import EXPORTERS
from pipelines.trainings import training_config

SUFFIXES = {"cvat": ".xml", "label_studio": ".json"}
STATES = PartStateArchitecture("test_efficientnet", part_level=1, person_level=2, input_px=32, dim=8, heads=2)


@pytest.fixture(params=SUFFIXES)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A format, in which the annotations of a video to train on and one to validate on lie in `tmp_path`."""
    (tmp_path / "images").mkdir()
    for split in ("train", "val"):
        facts = replace(FACTS, name=f"{split}.mp4", width=64, height=48)
        write_moving_video(tmp_path / "images", facts)
        shrunk = [replace(f, persons=replace(f.persons, xyxy=f.persons.xyxy / 5), parts=_fifth(f.parts)) for f in moving_parse().frames]
        parse = replace(moving_parse(facts), frames=tuple(shrunk), actions=ACTIONS[:1])
        options = {} if request.param == "cvat" else {"result": "annotations"}
        chosen_class(EXPORTERS, request.param)(**options).write([parse], tmp_path / split)
        (written,) = (file for file in (tmp_path / split).glob(f"*{SUFFIXES[request.param]}") if file.stem in ("tasks", facts.name))
        target = tmp_path / f"annotations_{split}{SUFFIXES[request.param]}"
        written.rename(target)
    return str(request.param)


def _fifth(parts: Any) -> Any:
    return replace(parts, xyxy=parts.xyxy / 5)


def images(kind: str, root: Path) -> dict[str, Any]:
    names = {split: f"annotations_{split}{SUFFIXES[kind]}" for split in ("train", "val")}
    return {"root": str(root), "format": kind, **names}


def trained(stage: str, settings: dict[str, Any], out: Path) -> WeightsHeader:
    training: Trainer = training_config(stage, settings | {"fit": {"epochs": 1, "batch_size": 4, "lr": 1e-3, "ema_decay": 0.0}}, "t")
    experiment(training, out, quiet=True)
    return read_header(str(out / "weights.safetensors"), training.name)


def test_detectors_and_part_states_and_the_filter_behind_them(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = {"name": "cascade_rcnn", "pretrained": "none", "data": images(kind, tmp_path) | {"mosaic": 0.0, "limit": 4}}
    for target, classes in (("persons", ["person"]), ("parts", list(VOCABULARY.parts[:2]))):
        architecture = TINY_DETECTOR | {"class_names": classes}
        header = trained(f"{target[:-1]}_detector", detector | {"target": target, "architecture": architecture}, tmp_path / target)
        assert header.metrics["all"]["num_images"] == {"persons": 11, "parts": 21}[target]
    settings = {"name": "part_state_net", "architecture": asdict(STATES), "pretrained": "none", "data": {"images": images(kind, tmp_path)}}
    header = trained("part_states", settings, tmp_path / "states")
    assert set(header.labels["parts"]) <= set(VOCABULARY.parts)
    assert header.metrics["all"]["num_persons"] == 21
    following = {"name": "temporal_head", "base": str(tmp_path / "states/weights.safetensors"), "data": images(kind, tmp_path), "dim": 8}
    assert trained("state_filter", following, tmp_path / "filter").labels == header.labels


def test_the_filter_follows_persons_from_frame_to_frame(kind: str, tmp_path: Path) -> None:
    data = images(kind, tmp_path)
    training = training_config(
        "part_states", {"name": "part_state_net", "architecture": asdict(STATES), "data": {"images": data}, "fit": FIT}, ""
    )
    vocabulary = training.data.vocabulary()
    network = PartStateNet(STATES, torch.from_numpy(vocabulary.allowed), len(vocabulary.actions))
    save_weights(network, tmp_path / "base.safetensors", WeightsHeader("part_state_net", asdict(STATES), vocabulary.to_json()))
    settings = {"name": "temporal_head", "base": str(tmp_path / "base.safetensors"), "data": data, "fit": FIT, "fps": FACTS.fps}
    follower = training_config("state_filter", settings, "")
    assert isinstance(follower, StateFilterTraining)
    windows = follower._windows("train", follower._base("cpu"))
    assert windows.table.videos.tolist() == ["train.mp4"] * 21
    assert len(set(windows.track_ids.tolist())) < 5


FIT = {"epochs": 1, "batch_size": 4, "lr": 1e-3}


def test_a_recognizer(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "input_px": 32},
        "data": {"root": str(tmp_path), "format": kind, "labels": "annotations", "short_side_px": 32},
    }
    header = trained("recognizer", settings, tmp_path / "run")
    assert header.labels["actions"] in (["walk"], ["run"])
    assert header.metrics["all"]["num_videos"] == 1


def test_actions_of_videos(kind: str, tmp_path: Path) -> None:
    """Files may lie in a folder for each split; a video of which nothing is said is left out, one that is lost is named."""
    file = tmp_path / f"annotations_train{SUFFIXES[kind]}"
    for split in ("train", "val"):
        (tmp_path / f"parts_{split}").mkdir()
        (tmp_path / f"annotations_{split}{SUFFIXES[kind]}").rename(tmp_path / f"parts_{split}" / f"a{SUFFIXES[kind]}")
    records = read_clip_records(kind, tmp_path, "parts")  # type: ignore[arg-type]
    assert [(record.path.name, record.split) for record in records] == [("train.mp4", "train"), ("val.mp4", "val")]
    inside = tmp_path / "parts_train" / file.name.replace("annotations_train", "a")
    text = inside.read_text()
    inside.write_text(text.replace(">walk<", "><").replace(">run<", "><").replace('"action"', '"other"'))
    assert [record.split for record in read_clip_records(kind, tmp_path, "parts")] == ["val"]  # type: ignore[arg-type]
    inside.write_text(text.replace("train.mp4", "gone.mp4"))
    with pytest.raises(InputError, match=r"parts_train/a\.(xml|json): video gone\.mp4 is in neither .*images nor "):
        read_clip_records(kind, tmp_path, "parts")  # type: ignore[arg-type]
    inside.write_text(text.replace('frame="0"', 'frame="x"').replace('"choices": [', '"choices": 3, "no": ['))
    with pytest.raises(InputError, match=r"parts_train/a\.(xml: track \d+|json: task 1): "):
        read_clip_records(kind, tmp_path, "parts")  # type: ignore[arg-type]
    inside.unlink()
    with pytest.raises(InputError, match=r"parts_train: no \.(xml|json) file in this folder"):
        read_clip_records(kind, tmp_path, "parts")  # type: ignore[arg-type]

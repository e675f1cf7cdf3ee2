"""Scale policies of the three reports."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import write_clips, write_video

from parsing.configs import parse_config
from parsing.datasets.clips import action_names, read_clip_records
from parsing.errors import InputError
from parsing.learning.experiment import experiment
from recognizers.clips.test_views import with_short_side
from recognizers.superres.scaling import ScalingConfig
from recognizers.train import RecognizerTraining

NETEASE = ScalingConfig(below_px=96, first_px=64, to_px=128, resolver={"name": "bicubic", "scale": 2})


def clip(height: int, width: int, num: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (num, height, width, 3), np.uint8)


def test_sizes_go_as_the_reports_say() -> None:
    policy = NETEASE.build("cpu")
    assert policy(clip(30, 40)).shape == (5, 128, 170, 3)
    assert policy(clip(96, 128)).shape == (5, 128, 171, 3)
    assert policy(clip(200, 300)).shape == (5, 128, 192, 3)
    assert (policy.resolves((95, 400)), policy.resolves((96, 96))) == (True, False)
    assert ScalingConfig(to_px=112).build("cpu")(clip(10, 20)).shape == (5, 112, 224, 3)
    assert ScalingConfig().build("cpu")(clip(10, 20)).shape == (5, 10, 20, 3)


@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (9, 9)])
def test_the_smallest_pictures_pass(hw: tuple[int, int]) -> None:
    assert min(NETEASE.build("cpu")(clip(*hw, num=1)).shape[1:3]) == 128


def test_only_what_is_wanted_is_computed() -> None:
    policy = NETEASE.build("cpu")
    frames = clip(32, 32, 9)
    whole = policy(frames)
    some = policy.some({2: frames[2], 3: frames[3], 7: frames[7]}, [7, 2, 2])
    assert sorted(some) == [2, 7]
    assert np.array_equal(some[7], whole[7])


def test_crops_of_a_track_that_comes_and_goes_are_super_resolved_alike() -> None:
    policy = ScalingConfig(below_px=96, resolver={"name": "bicubic", "scale": 2}).build("cpu")
    crops = {i: clip(side, side, 1)[0] for i, side in enumerate((30, 34, 40))}
    assert {image.shape for image in policy.some(crops, range(3)).values()} == {(68, 68, 3)}


def test_unknown_resolvers_are_named() -> None:
    with pytest.raises(InputError, match=r"scaling: resolver: unknown name 'bicubc'; did you mean 'bicubic'\?"):
        parse_config(ScalingConfig, {"below_px": 96, "resolver": {"name": "bicubc"}}, "scaling")


def test_images_keep_their_proportions() -> None:
    assert with_short_side(np.zeros((10, 30, 3), np.uint8), 20).shape == (20, 60, 3)
    assert with_short_side(np.zeros((10, 30, 3), np.uint8), 0).shape == (10, 30, 3)
    assert with_short_side(np.zeros((500, 2, 3), np.uint8), 1).shape == (250, 1, 3)


def test_recognizers_train_on_scaled_clips(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    settings = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "input_px": 32},
        "data": {"root": str(root), "scaling": {"below_px": 96, "first_px": 16, "to_px": 32, "resolver": {"name": "bicubic", "scale": 2}}},
        "fit": {"epochs": 1, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
    }
    experiment(parse_config(RecognizerTraining, settings, "t"), tmp_path / "run", quiet=True)
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text())
    assert row["all"]["num_videos"] == 2


def test_sets_in_the_benchmarks_own_forms_are_read(tmp_path: Path) -> None:
    for number in range(40):
        write = tmp_path / "tps/train/videos/run" / f"v{number}.mp4"
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_bytes(b"x")
    held_out = [r for r in read_clip_records("kinetics_tps", tmp_path / "tps", "") if r.split == "val"]
    assert 1 <= len(held_out) <= 9
    (tmp_path / "tps/val/videos/walk").mkdir(parents=True)
    (tmp_path / "tps/val/videos/walk/w.mp4").write_bytes(b"x")
    records = read_clip_records("kinetics_tps", tmp_path / "tps", "")
    assert [(r.labels, r.path.name) for r in records if r.split == "val"] == [(("walk",), "w.mp4")]

    tiny = tmp_path / "tiny"
    (tiny / "videos/train/a").mkdir(parents=True)
    (tiny / "videos/val/b").mkdir(parents=True)
    write_video(tiny / "videos/train/a/00000.mp4", [np.zeros((16, 16, 3), np.uint8)] * 3)
    write_video(tiny / "videos/val/b/00001.mp4", [np.zeros((16, 16, 3), np.uint8)] * 3)
    (tiny / "class_map.json").write_text('{"walk": 1, "talk": 0}')
    for split, row in (
        ("train", {"id": "00000", "video_id": "a", "path": "a/00000.mp4", "dim": [3, 16, 16], "label": ["walk", "talk"]}),
        ("val", {"id": "00001", "video_id": "b", "path": "b/00001.mp4", "dim": [3, 16, 16], "label": ["walk"]}),
    ):
        (tiny / f"tiny_{split}_v2.json").write_text(json.dumps([row]))
    records = read_clip_records("tinyvirat", tiny, "tiny", "class_map.json")
    assert [(r.name, r.labels, r.split) for r in records] == [
        ("a/00000.mp4", ("talk", "walk"), "train"),
        ("b/00001.mp4", ("walk",), "val"),
    ]
    assert action_names("tinyvirat", tiny, "class_map.json", records) == ("talk", "walk")
    with pytest.raises(InputError, match=r"0 files none_train\*\.json, expected one"):
        read_clip_records("tinyvirat", tiny, "none", "class_map.json")

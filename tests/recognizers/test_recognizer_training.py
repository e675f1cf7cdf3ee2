import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import write_video

from parsing.configs import parse_config
from parsing.errors import InputError
from recognizers.data import CachedClip, ClipViews, cache_clips, read_clips, spread_snippets, trainable_actions
from recognizers.metrics import recognition_metrics
from recognizers.train import TrainConfig


def write_clips(root: Path) -> Path:
    """Dark and bright videos, four of each to train on and one to validate."""
    root.mkdir()
    rows = ["file,label,split,scene_disjoint,for_shipped_weights"]
    for label, level in (("dark", 40), ("bright", 210)):
        for i in range(5):
            name = f"{label}{i}.mp4"
            write_video(root / name, [np.full((48, 64, 3), level + 3 * i, np.uint8)] * 6)
            rows.append(f"{name},{label},{'val' if i == 4 else 'train'},{'yes' if label == 'dark' else 'no'},yes")
    rows.append("none.mp4,dark,train,yes,no")
    rows.append("lonely.mp4,lonely,train,yes,yes")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def test_clips_are_read_with_their_flags(tmp_path: Path) -> None:
    records = read_clips(write_clips(tmp_path / "c") / "labels.csv")
    assert len(records) == 12
    assert [r.trainable for r in records if r.path.name == "none.mp4"] == [False]
    assert trainable_actions(records) == ("bright", "dark")  # no clip validates "lonely"


@pytest.mark.parametrize(("content", "message"), [("file,split\na,train", "column 'label' is missing"), ("", "column 'file'")])
def test_bad_lists_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "l.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_clips(tmp_path / "l.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_clips(tmp_path / "none.csv")


def test_damaged_clips_are_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_clips(tmp_path / "c")
    (root / "dark1.mp4").write_bytes(b"broken")
    records = [r for r in read_clips(root / "labels.csv") if r.label == "dark" and r.trainable]
    with caplog.at_level(logging.WARNING):
        clips = cache_clips(records, ("dark",), 4, 2, 1, 32)
    assert len(clips) == len(records) - 1
    assert clips[0].snippets.shape == (4, 2, 32, 43, 3)
    assert "dark1.mp4" in caplog.text


def test_snippets_are_spread_over_a_clip(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [np.full((16, 16, 3), 10 * i, np.uint8) for i in range(20)])
    assert [frame.index for frame in spread_snippets(path, 3, 2, 2)] == [0, 2, 10, 12, 17, 19]


def test_views_change_between_seeds_but_not_within_a_clip() -> None:
    clip = CachedClip(np.full((6, 1, 40, 50, 3), 120, np.uint8), 1)
    views = ClipViews([clip], 3, 32, 0.7)
    pixels, label = views[(0, 1)]
    assert pixels.shape == (3, 32, 32, 3)
    assert label == 1
    assert np.array_equal(pixels[0], pixels[2])  # the light of a clip does not flicker
    assert not np.array_equal(pixels, views[(0, 2)][0])


def test_metrics_by_hand() -> None:
    scores = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]])
    metrics = recognition_metrics(scores, np.array([0, 1, 2, 0]), ("a", "b", "c"))
    assert metrics["top1"] == 0.5  # a tie counts against the network
    assert metrics["top5"] == 1
    assert metrics["mean_class_accuracy"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert metrics["per_class"]["b"] == {"accuracy": 0.0, "num_videos": 1, "taken_for": {"a": 1}}
    assert recognition_metrics(np.zeros((0, 3)), np.zeros(0, int), ("a", "b", "c"))["top1"] is None


def test_training_learns_and_evaluates(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    settings = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "snippet": 2, "step": 1, "input_px": 32, "dropout": 0.0},
        "data": {"root": str(root), "positions": 4, "short_side_px": 32, "repeat": 4},
        "fit": {"epochs": 8, "batch_size": 4, "lr": 0.02, "ema_decay": 0.0, "precision": "bf16-mixed"},
        "pretrained": "none",
        "freeze_norm": False,
    }
    torch.manual_seed(0)
    training = parse_config(TrainConfig, settings, "t")
    training.train(tmp_path / "run", device="cpu", resume=False, quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["losses"]["action"] < rows[0]["losses"]["action"]
    metrics = training.evaluate(str(tmp_path / "run/weights.safetensors"), device="cpu")
    assert metrics["all"]["top1"] == 1
    assert (metrics["all"]["num_videos"], metrics["scene_disjoint"]["num_videos"]) == (2, 1)

"""Two processes under torchrun (gloo) train as one with the doubled batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from builders import write_clips

from pipelines import train

ROOT = Path(__file__).parents[2]


def torchrun(*order: str) -> None:
    """A training by two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pipelines.train", *order]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]


def losses(run: Path) -> list[dict[str, float]]:
    return [json.loads(line)["losses"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_give_the_losses_of_one_with_the_doubled_batch(people: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "name": "gfl",
        "target": "persons",
        "architecture": {"class_names": ["person"], "backbone": "test_efficientnet", "levels": [1, 2], "fpn_channels": 8, "convs": 1},
        "data": {"root": str(people), "mosaic": 0.0, "view_px": 64},
        "fit": {"epochs": 2, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
        "pretrained": "none",
    }
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(settings))
    order = ["person_detector", "--config", str(config), "--quiet", "--device", "cpu"]
    assert train.main(train.build_parser().parse_args([*order, "--out", str(tmp_path / "one")])) == 0
    torchrun(*order, "--out", str(tmp_path / "two"), "--set", "fit.batch_size=2")
    first, second = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(first) == len(second) == 2
    for one, two in zip(first, second, strict=True):
        assert one.keys() == two.keys()
        np.testing.assert_allclose([two[key] for key in one], list(one.values()), rtol=1e-4)


def test_two_processes_stop_together_and_write_once(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "input_px": 32, "dropout": 0.0},
        "data": {"root": str(write_clips(tmp_path / "c")), "short_side_px": 32},
        "fit": {"epochs": 20, "batch_size": 2, "lr": 0.02, "ema_decay": 0.0},
        "stop_at": 0.5,
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    torchrun("recognizer", "--config", str(tmp_path / "c.yaml"), "--quiet", "--device", "cpu", "--out", str(tmp_path / "run"))
    rows = [json.loads(text) for text in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(len(rows)))
    assert len(rows) < 20
    assert (tmp_path / "run/best.safetensors").is_file()

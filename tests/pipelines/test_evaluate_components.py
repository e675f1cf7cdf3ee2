"""`evaluate STAGE --component`: ground truth gets full marks, and weights the marks of their component."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from builders import VOCABULARY, write_clips

from parsing.errors import InputError
from pipelines import evaluate

FIT = {"epochs": 1, "batch_size": 2, "lr": 0.01}


def figures(stage: str, settings: dict[str, Any], folder: Path, *options: str) -> dict[str, Any]:
    """What the command writes to its report."""
    config, report = folder / "config.yaml", folder / "report.json"
    config.write_text(yaml.safe_dump(settings))
    arguments = [stage, "--config", str(config), "--out", str(report), "--overwrite", "--quiet", "--device", "cpu", *options]
    assert evaluate.main(evaluate.build_parser().parse_args(arguments)) == 0
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def states_settings(people: Path) -> dict[str, Any]:
    architecture = {"backbone": "test_efficientnet", "part_level": 1, "person_level": 2}
    data = {"images": {"root": str(people), "val": "annotations_train.json"}, "actions": list(VOCABULARY.actions)}
    return {"name": "part_state_net", "architecture": architecture, "data": data, "fit": FIT}


def test_part_states(people: Path, tiny_pipeline: Path, tmp_path: Path) -> None:
    settings, weights = states_settings(people), tiny_pipeline.parent / "states.safetensors"
    true = figures("part_states", settings, tmp_path, "--component", f"{{name: oracle, recordings: {people}/annotations_train.json}}")
    assert true["all"]["num_persons"] == 8
    assert true["all"]["top1"] == true["all"]["accuracy"] == true["all"]["mean_ap"] == 1
    found = figures("part_states", settings, tmp_path, "--weights", str(weights))
    assert found != true
    assert found == figures("part_states", settings, tmp_path, "--component", f"{{name: part_state_net, weights: {weights}}}")
    with pytest.raises(InputError, match="--component: unknown name 'tsm'"):
        figures("part_states", settings, tmp_path, "--component", "{name: tsm}")


def write_annotated_video(root: Path) -> None:
    """A person in two frames that lie 0.2 s apart at 25 frames a second, whose left arm bends in the first only."""
    tree, pictures = (root / "val" / kind / "run" / "v" for kind in ("annotations", "frames"))
    tree.mkdir(parents=True)
    pictures.mkdir(parents=True)
    for number, state in ((1, "bend"), (6, "raise")):
        human = {"box": [10, 10, 60, 90], "parts": {"left_arm": {"box": [20, 30, 40, 60], "verb": state}}}
        (tree / f"img_{number:05d}.json").write_text(json.dumps({"humans": [human]}))
        cv2.imwrite(str(pictures / f"img_{number:05d}.png"), np.full((96, 72, 3), 20 * number, np.uint8))
    (root / "part_stat.txt").write_text("bend\nraise\n")
    (root / "classes.txt").write_text("run\n")


def test_state_filters(tiny_pipeline: Path, tmp_path: Path) -> None:
    write_annotated_video(tmp_path / "set")
    base = str(tiny_pipeline.parent / "states.safetensors")
    settings = {"name": "temporal_head", "base": base, "data": {"root": str(tmp_path / "set")}, "fit": FIT}
    alone = figures("state_filter", settings, tmp_path, "--component", "{name: smooth, window_s: 0.2}")
    assert alone["all"] == alone["single"]  # no other frame lies nearer than 0.2 s
    assert alone["all"]["num_persons"] == 2
    joined = figures("state_filter", settings, tmp_path, "--component", "{name: smooth, window_s: 2}")
    assert joined["single"] == alone["single"]


def test_super_resolution(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "clips")
    data = {"root": str(root), "short_side_px": 48, "val_frames": 2}
    settings = {"name": "basicvsr", "architecture": {"scale": 2}, "data": data, "fit": FIT}
    found = figures("super_resolution", settings, tmp_path, "--component", "{name: bicubic, scale: 4}")
    assert found["clips"] == 2
    for kind in ("clean", "real"):
        assert (found[kind]["psnr"], found[kind]["ssim"]) == (found[kind]["bicubic_psnr"], found[kind]["bicubic_ssim"])


def test_recognizers_that_run_no_network(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "clips")
    settings = {"name": "tsm", "architecture": {"backbone": "test_resnet"}, "data": {"root": str(root)}, "fit": FIT}
    oracle = {"name": "oracle", "recordings": str(root / "labels.csv"), "actions": ["bright", "other", "dark"]}
    found = figures("recognizer", settings, tmp_path, "--component", json.dumps(oracle))
    assert (found["all"]["top1"], found["all"]["num_videos"]) == (1, 2)

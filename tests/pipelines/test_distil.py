"""Distillation by one command, and teachers in ablations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from builders import write_video

from parsing.errors import InputError
from pipelines import ablate, distil
from recognizers.scores import SavedScores


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of many labels: dark or bright, and some of them red."""
    root = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        rows: list[dict[str, Any]] = []
        for i in range(count):
            labels = ["bright" if i % 2 else "dark", *(["red"] if i % 4 < 2 else [])]
            picture = np.full((12, 16, 3), 200 if i % 2 else 40, np.uint8)
            picture[:, :8, 0] = 250 if "red" in labels else 0
            name = f"v{i}/{len(rows) + (0 if split == 'train' else 100):05d}.mp4"
            path = root / "videos" / split / name
            path.parent.mkdir(parents=True)
            write_video(path, [picture + random.integers(0, 4, picture.shape, np.uint8)] * 4)
            rows.append({"id": path.stem, "video_id": f"v{i}", "path": name, "dim": [4, 12, 16], "label": labels})
        (root / f"small_{split}.json").write_text(json.dumps(rows))
    (root / "class_map.json").write_text('{"bright": 0, "dark": 1, "red": 2}')
    return root


def config(root: Path, path: Path, **changed: Any) -> Path:
    settings = {
        "name": "tsm",
        "architecture": {"backbone": "test_resnet", "level": 2, "num_segments": 2, "input_px": 32, "dropout": 0.0},
        "data": {"root": str(root), "format": "tinyvirat", "labels": "small", "classes": "class_map.json"},
        "loss": {"kind": "asymmetric"},
        "fit": {"epochs": 2, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0},
        "crop": "whole",
    }
    path.write_text(yaml.safe_dump(settings | changed))
    return path


def call(module: Any, *arguments: object) -> int:
    return int(module.main(module.build_parser().parse_args([str(a) for a in arguments])))


def test_one_command_trains_teacher_and_student(small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scaled = {"root": str(small_set), "format": "tinyvirat", "labels": "small", "classes": "class_map.json"}
    scaled |= {"scaling": {"below_px": 96, "to_px": 32, "resolver": {"name": "bicubic", "scale": 2}}}  # type: ignore[dict-item]
    teacher = config(small_set, tmp_path / "teacher.yaml", data=scaled)
    student = config(small_set, tmp_path / "student.yaml")
    order = "--teacher", teacher, "--student", student, "--out", tmp_path / "out", "--device", "cpu"
    assert call(distil, *order) == 0
    assert "teacher mean_ap" in capsys.readouterr().out
    knowledge = SavedScores.load(tmp_path / "out/knowledge.npz")
    assert (len(knowledge.videos), knowledge.actions.tolist()) == (8, ["bright", "dark", "red"])
    losses = json.loads((tmp_path / "out/student/metrics.jsonl").read_text().splitlines()[0])["losses"]
    assert set(losses) == {"action", "distillation"}
    assert (tmp_path / "out/student/pr_curves.png").is_file()
    before = (tmp_path / "out/teacher/weights.safetensors").stat().st_mtime_ns
    with pytest.raises(InputError, match=r"knowledge\.npz: exists; choose another --out or give --overwrite"):
        call(distil, *order, "--quiet")
    assert call(distil, *order, "--quiet", "--resume") == 0
    assert (tmp_path / "out/teacher/weights.safetensors").stat().st_mtime_ns == before


def test_clips_of_many_labels_need_a_loss_for_them(small_set: Path, tmp_path: Path) -> None:
    both = config(small_set, tmp_path / "one.yaml", loss={"kind": "cross_entropy"})
    with pytest.raises(InputError, match=r"2 labels; loss\.kind 'cross_entropy' wants one, expected bce"):
        call(distil, "--teacher", both, "--student", both, "--out", tmp_path / "out", "--device", "cpu", "--quiet")


def test_rows_of_an_ablation_teach_later_ones(small_set: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    rows: list[dict[str, Any]] = [{"name": "big"}, {"name": "taught", "set": {"distillation": {"alpha": 0.7}}, "teacher": "big"}]
    ablation = {"stage": "recognizer", "seeds": 1, "metrics": {"mAP": "all.mean_ap"}, "rows": rows}
    ablation["config"] = str(config(small_set, tmp_path / "c.yaml"))
    file.write_text(yaml.safe_dump(ablation))
    assert call(ablate, file, "--out", tmp_path / "out", "--device", "cpu", "--quiet") == 0
    assert "| taught |" in (tmp_path / "out/table.md").read_text()
    file.write_text(yaml.safe_dump(ablation | {"rows": rows[::-1]}))
    with pytest.raises(InputError, match="row 'taught': teacher 'big' is no row that was trained before it"):
        call(ablate, file, "--out", tmp_path / "other", "--device", "cpu", "--quiet")

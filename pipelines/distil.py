"""Dual-resolution distillation (SIAT 2022): train a teacher, keep its scores, train a student with them.

    python -m pipelines.distil --teacher FILE --student FILE --out FOLDER [--set a.b=c ...]

The teacher usually sees super-resolved clips and the student the clips as they are. What is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any, cast

from parsing.configs import override, read_yaml
from parsing.files import atomic
from pipelines.command import run_command, torch_device
from pipelines.trainings import training_config
from recognizers.train import TrainConfig

log = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.distil", description="Train a teacher, and a student with its scores.")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="a training config of a recognizer")
    parser.add_argument("--student", type=Path, required=True, metavar="FILE", help="another one, of the same clips and actions")
    parser.add_argument("--alpha", type=float, default=0.5, help="share of the labels in the student's loss (default: 0.5)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="teacher/, knowledge.npz, student/, report.json")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of both")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def main(arguments: argparse.Namespace) -> int:
    out, device = arguments.out, torch_device(arguments.device)
    distillation = {"scores": str(out / "knowledge.npz"), "alpha": arguments.alpha}
    teacher = _config(arguments.teacher, arguments.set)
    student = _config(arguments.student, [*arguments.set, f"distillation={json.dumps(distillation)}"])  # both are checked before hours pass
    _train(teacher, out / "teacher", device, arguments.quiet)
    if not (out / "knowledge.npz").is_file():
        log.info("scores of the training clips")
        teacher.save_knowledge(str(out / "teacher/weights.safetensors"), out / "knowledge.npz", device=device)
    _train(student, out / "student", device, arguments.quiet)
    report = {name: _figures(out / name) for name in ("teacher", "student")}
    with atomic(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if not arguments.quiet:
        for name, figures in report.items():
            print(f"{name:<8}" + "  ".join(f"{key} {value:.4f}" for key, value in figures.items() if isinstance(value, float)))
    return 0


def _config(path: Path, assignments: list[str]) -> TrainConfig:
    return cast(TrainConfig, training_config("recognizer", override(read_yaml(path), assignments), str(path)))


def _train(training: TrainConfig, run: Path, device: str, quiet: bool) -> None:
    if not (run / "finished").is_file():
        training.train(run, device=device, resume=False, quiet=quiet)
        (run / "finished").touch()


def _figures(run: Path) -> dict[str, Any]:
    """Of the last epoch."""
    row = json.loads((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return cast(dict[str, Any], row["all"])


if __name__ == "__main__":
    run_command(build_parser(), main)

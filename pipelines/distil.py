"""Dual-resolution distillation (SIAT 2022): train a teacher, keep its scores, train a student with them.

    python -m pipelines.distil --teacher FILE --student FILE --out FOLDER [--set a.b=c ...] [--resume | --overwrite]

The teacher usually sees super-resolved clips and the student the clips as they are. `--resume` keeps what is finished.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from parsing.console import say
from parsing.json_files import read_json_lines
from parsing.learning.runs import run_files
from pipelines.command import CommandParser, add_device_option, add_output_options, add_set_option, claim, run_command, torch_device
from pipelines.config_files import read_settings
from pipelines.trainings import forget_runs, train_once, training_config

if TYPE_CHECKING:
    from recognizers.train import RecognizerTraining

log = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser("distil", description="Train a teacher, and a student with its scores.")
    parser.add_argument("--teacher", type=Path, required=True, metavar="FILE", help="a training config of a recognizer")
    parser.add_argument("--student", type=Path, required=True, metavar="FILE", help="another one, of the same clips and actions")
    parser.add_argument("--alpha", type=float, default=0.5, help="share of the labels in the student's loss (default: 0.5)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="teacher/, knowledge.npz, student/, report.json")
    add_set_option(parser, "fit.epochs=3")
    add_device_option(parser)
    parser.add_argument("--resume", action="store_true", help="go on where an earlier call stopped")
    add_output_options(parser)
    return parser


def main(arguments: argparse.Namespace) -> int:
    out, device = arguments.out, torch_device(arguments.device)
    distillation = {"scores": str(out / "knowledge.npz"), "alpha": arguments.alpha}
    teacher = _config(arguments.teacher, arguments.set)
    student = _config(arguments.student, [*arguments.set, f"distillation={json.dumps(distillation)}"])  # both are checked before hours pass
    made = [out / "knowledge.npz", out / "report.json", *run_files(out / "teacher"), *run_files(out / "student")]
    claim(arguments, made, teacher, replace(student, distillation=None), going_on=arguments.resume)
    if not arguments.resume:
        forget_runs([out / "teacher", out / "student"])
        (out / "knowledge.npz").unlink(missing_ok=True)
    train_once(teacher, out / "teacher", device, arguments.quiet)
    if not (out / "knowledge.npz").is_file():
        log.info("scores of the training clips")
        teacher.save_knowledge(str(out / "teacher/weights.safetensors"), out / "knowledge.npz", device=device)
    train_once(student, out / "student", device, arguments.quiet)
    from parsing.measures.report import write_report  # late: it loads Matplotlib

    report = {name: _figures(out / name) for name in ("teacher", "student")}
    write_report(report, out)
    if not arguments.quiet:
        for name, figures in report.items():
            say(f"{name:<8}" + "  ".join(f"{key} {value:.4f}" for key, value in figures.items() if isinstance(value, float)))
    return 0


def _config(path: Path, assignments: list[str]) -> RecognizerTraining:
    return cast("RecognizerTraining", training_config("recognizer", read_settings(path, assignments), str(path)))


def _figures(run: Path) -> dict[str, Any]:
    """Of the last epoch."""
    return cast(dict[str, Any], read_json_lines(run / "metrics.jsonl")[-1]["all"])


if __name__ == "__main__":
    run_command(build_parser(), main)
